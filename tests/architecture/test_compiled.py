"""What is compiled can be: no class that mypyc would change without a word."""

import ast
import subprocess
from pathlib import Path

import pytest

from compiled.build import modules
from tests.support.tree import ROOT, source_files

PYTHON = [path for path in modules() if path.suffix == ".py"]
EVERYWHERE = {"entrepot.core.identifiers"}  # What needs an id says nothing of how ids are made.


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


def test_what_tests_a_compiled_module_by_itself_is_run_from_its_source_too() -> None:
    """`make sources` names files, so that what is compiled nowhere is not tested twice."""
    words = ["make", "--silent", "--eval", "asked: ; @echo $(REQUEST_PATH_TESTS)", "asked"]
    told = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    run = [ROOT / word for word in told]
    assert [path for path in run if not path.exists()] == []
    compiled = {".".join(path.relative_to(ROOT / "src").with_suffix("").parts) for path in modules()} - EVERYWHERE
    files = [path for room in ("unit", "property") for path in (ROOT / "tests" / room).rglob("test_*.py")]
    of_one = {path for path in files if imported(path) & compiled}
    assert of_one
    assert [path for path in sorted(of_one) if not any(path.is_relative_to(place) for place in run)] == []


def imported(path: Path) -> set[str]:
    """The full names of what a file imports, whether modules or what is in them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            names |= {name.name for name in node.names}
    return names
