"""A module as it is imported, and as its source alone makes it: one and the same where nothing is compiled."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from tests.support.tree import SOURCE


def source_of(name: str) -> Any:
    """The module of this name, made from its source under another name."""
    path = SOURCE.parent / Path(*name.split(".")).with_suffix(".py")
    spec = importlib.util.spec_from_file_location(f"{name}_from_source", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def long_way_of(name: str, shortcuts: str) -> Any:
    """The module made from its source, with the source of the shortcuts in place of what is compiled."""
    with patch.dict(sys.modules, {shortcuts: source_of(shortcuts)}):
        return source_of(name)


def twins(name: str) -> list[Any]:
    """The module from its source, and compiled, if it is."""
    imported: ModuleType = importlib.import_module(name)
    return [source_of(name)] if str(imported.__file__).endswith(".py") else [source_of(name), imported]


def kind(module: ModuleType) -> str:
    """How a test says which of them it ran with."""
    return "source" if module.__name__.endswith("_from_source") else "compiled"
