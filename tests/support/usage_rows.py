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
    return {row[0] for row in _rows()}


def words_of_the_document() -> set[str]:
    """What its rows say in the words of the program."""
    return {word for row in _rows() for word in re.findall(r"`(\w+)`", row[1])}


def _rows() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "operations" / "usage-rules.md").read_text().partition("\n## ")[0]
    return re.findall(r"^\| (?!row )([a-z][a-z ]+) \|((?:[^|]*\|){5})$", text, re.MULTILINE)


def rows_with_a_test() -> set[str]:
    """The names that tests of the gateway are marked with."""
    texts = (path.read_text() for path in (ROOT / "tests" / "integration" / "gateway").glob("test_*.py"))
    return {
        name
        for text in texts
        if "usage_rows import" in text
        for name in re.findall(r'^@row\("([a-z ]+)"\)$', text, re.MULTILINE)
    }
