"""Each room says at its door what it owns, what it leaves to others and what is always true there, and nothing else."""

import ast
from pathlib import Path

import pytest

from tests.support.tree import SOURCE

PACKAGES = sorted(path.parent for path in SOURCE.glob("*/__init__.py"))


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_door_says_what_is_behind_it(package: Path) -> None:
    described = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    for word in ("Owns:", "Leaves to others:", "Always:"):
        assert word in described, f"{package.name}/__init__.py does not say what it {word.lower()}"
    assert len(described.splitlines()) <= 6


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_the_door_re_exports_nothing(package: Path) -> None:
    assert [ast.unparse(node) for node in ast.parse((package / "__init__.py").read_text()).body[1:]] == []
