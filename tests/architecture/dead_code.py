"""Names that nothing uses: exits 0 when there are none, else 1 with one line each. Run by `make check`.

Vulture finds them; this says what it cannot know. What only tests use is dead in the product, except the memory
twins of the ports, which are there for tests. Fields of values may be there only to be written out as JSON, and
attributes of other libraries' objects are theirs to read.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import vulture

from tests.support.tree import ROOT

PRODUCT = ("src", "benchmarks", "docs", "examples")
CONFIDENCE_MIN = 60

# Called by a library that finds them by name.
CALLED_BY_NAME = (
    *(
        "connection_made",
        "data_received",
        "eof_received",
        "connection_lost",
        "pause_writing",
        "resume_writing",
    ),  # asyncio
    *("redirect_request", "capture_signals", "should_exit"),  # urllib.request, uvicorn
    *("do_GET", "do_POST", "log_message", "protocol_version", "close_connection"),  # http.server
    "handle_DATA",  # aiosmtpd
    *("on_message_begin", "on_url", "on_body", "on_message_complete"),  # httptools
    *("pytest_*", "pytestmark", "test_*", "setup", "teardown"),  # pytest, hypothesis
)
ONLY_FOR_TESTS = "src/entrepot/adapters/memory/"

_QUOTED_TYPE = re.compile(r"[\w.\[\], |]+")


def main() -> int:
    """The exit status; unused names go to stderr."""
    found = sorted(
        {line for line in unused_in(PRODUCT) if not line.startswith(ONLY_FOR_TESTS)}
        | {line for line in unused_in((*PRODUCT, "tests")) if line.startswith(("tests/", ONLY_FOR_TESTS))}
    )
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


def unused_in(folders: Iterable[str], root: Path = ROOT) -> list[str]:
    """`path:line: unused kind 'name'` for what no file below these folders uses."""
    paths = [
        path for folder in folders for path in sorted((root / folder).rglob("*.py")) if "node_modules" not in path.parts
    ]
    finder = vulture.Vulture(
        ignore_names=CALLED_BY_NAME, ignore_decorators=("@pytest.fixture*", "@*.fixture*", "@rule*", "@invariant*")
    )
    finder.scavenge(paths)
    exempt: set[tuple[Path, int]] = set()
    quoted: set[str] = set()
    for path in paths:
        tree = ast.parse(path.read_text())
        exempt.update((path, line) for line in written_for_others(tree))
        quoted.update(names_in_quoted_types(tree))
    return [
        f"{Path(item.filename).relative_to(root)}:{item.first_lineno}: unused {item.typ} '{item.name}'"
        for item in finder.get_unused_code(min_confidence=CONFIDENCE_MIN)
        if item.typ != "import"  # ruff knows better
        and (Path(item.filename), item.first_lineno) not in exempt
        and item.name not in quoted
    ]


def written_for_others(tree: ast.AST) -> Iterator[int]:
    """The lines of fields in class bodies and of assignments to attributes of objects other than self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield from (part.lineno for part in node.body if isinstance(part, ast.AnnAssign))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) != "self":
            yield node.lineno


def names_in_quoted_types(tree: ast.AST) -> Iterator[str]:
    """The names in strings that may be quoted annotations."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _QUOTED_TYPE.fullmatch(node.value):
            yield from re.findall(r"\w+", node.value)


if __name__ == "__main__":
    sys.exit(main())
