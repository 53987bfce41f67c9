"""What is compiled can be: no class that mypyc would change without a word."""

import ast
from pathlib import Path

import pytest

from compiled.build import modules
from tests.support.tree import ROOT


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_no_compiled_module_makes_a_class_with_keywords(path: Path) -> None:
    """mypyc drops them: a msgspec.Struct would lose its tag, and a frozen value could be changed."""
    made = {
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef) and node.keywords
    }
    assert made == set()


def test_what_is_compiled_is_listed_once_and_in_order() -> None:
    listed = (ROOT / "compiled" / "modules.txt").read_text().split()
    assert listed == sorted(set(listed))
