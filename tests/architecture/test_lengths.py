"""Files and functions stay short enough to read at once. A long one hides a calculation that wants to be in core."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support.tree import ROOT, SOURCE, project_files, source_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# The ratchet: what is longer today, with its reason. Entries may only be removed or lowered.
LONGER_FILES: dict[str, int] = {}
LONGER_FUNCTIONS: dict[str, int] = {}


def test_no_file_is_too_long() -> None:
    everywhere = project_files("*.py")
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in everywhere}
    too_long = {name: length for name, length in lengths.items() if length > LONGER_FILES.get(name, FILE_LINES_MAX)}
    assert too_long == {}


def test_no_function_is_too_long() -> None:
    too_long = {
        name: length
        for path in source_files()
        for name, length in functions_of(path)
        if length > LONGER_FUNCTIONS.get(name, FUNCTION_LINES_MAX)
    }
    assert too_long == {}


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Each function of a file, `room/module.py:name`, and its lines without docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{path.relative_to(SOURCE.parent)}:{node.name}", _lines_without_docstring(node)


def _lines_without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is not None:
        length -= (first.end_lineno or first.lineno) - first.lineno + 1
    return length


def test_a_long_function_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "long.py"
    path.write_text('def long() -> None:\n    """Two\n    lines."""\n' + "    x = 1\n" * FUNCTION_LINES_MAX)
    node = ast.parse(path.read_text()).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert _lines_without_docstring(node) == FUNCTION_LINES_MAX + 1


def test_the_ratchet_names_only_what_exists() -> None:
    files = {str(path.relative_to(ROOT)) for path in project_files("*.py")}
    functions = {name for path in source_files() for name, _ in functions_of(path)}
    assert LONGER_FILES.keys() <= files
    assert LONGER_FUNCTIONS.keys() <= functions
