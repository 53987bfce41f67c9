"""What is compiled can be: no class that mypyc would change without a word."""

import ast
from pathlib import Path

import pytest

from compiled.build import modules
from tests.support.tree import ROOT, source_files

PYTHON = [path for path in modules() if path.suffix == ".py"]


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.stem)
def test_no_compiled_module_makes_a_class_with_keywords(path: Path) -> None:
    """mypyc drops them: a msgspec.Struct would lose its tag, and a frozen value could be changed."""
    made = {
        node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef) and node.keywords
    }
    assert made == set()


def test_no_class_from_its_source_inherits_from_a_compiled_one() -> None:
    """Python could not make instances of it."""
    compiled = {node.name for path in PYTHON for node in classes(path)}
    others = [path for path in source_files() if path not in PYTHON]
    made = {f"{path.stem}.{node.name}" for path in others for node in classes(path) if bases(node) & compiled}
    assert made == set(), "add their modules to compiled/modules.txt"


def classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]


def bases(node: ast.ClassDef) -> set[str]:
    return {base.id for base in node.bases if isinstance(base, ast.Name)}


def test_what_is_compiled_is_listed_once_and_in_order() -> None:
    listed = (ROOT / "compiled" / "modules.txt").read_text().split()
    assert listed == sorted(set(listed))
