"""The rows of docs/operations/usage-rules.md, and the tests that say which row they are for."""

import re
from collections.abc import Callable
from typing import TypeVar

from tests.support.tree import ROOT

Test = TypeVar("Test", bound=Callable[..., None])


def row(name: str) -> Callable[[Test], Test]:
    """Marks the test of a row of the document."""
    assert name in rows_of_the_document()

    def mark(test: Test) -> Test:
        return test

    return mark


def rows_of_the_document() -> set[str]:
    """The names of its rows."""
    text = (ROOT / "docs" / "operations" / "usage-rules.md").read_text().partition("\n## ")[0]
    return set(re.findall(r"^\| (?!row )([a-z][a-z ]+) \|(?:[^|]*\|){5}$", text, re.MULTILINE))


def rows_with_a_test() -> set[str]:
    """The names that tests of the gateway are marked with."""
    texts = (path.read_text() for path in (ROOT / "tests" / "integration" / "gateway").glob("test_*.py"))
    return {
        name
        for text in texts
        if "usage_rows import" in text
        for name in re.findall(r'^@row\("([a-z ]+)"\)$', text, re.MULTILINE)
    }
