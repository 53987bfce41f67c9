"""Checks the documents against the product: exits 0 when they agree, else 1 with one line a disagreement.

Links between markdown files must lead somewhere; every command, flag, setting, route and error code of the product must
be named in README.md or under docs/; and the product must take the examples there (examples.py).
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from docs.examples import broken_examples, leaves, undescribed_flags, unknown_headers, wrong_defaults
from entrepot.cli.main import parser
from entrepot.compose.settings import CONFIG, DEFINITIONS
from entrepot.core import errors
from entrepot.edge.routes import ROUTES

ROOT = Path(__file__).resolve().parents[1]
GIT = ("git", "-c", f"safe.directory={ROOT}")  # Also for a user whose the checkout is not.
SOURCE = ROOT / "src" / "entrepot"

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def main() -> int:
    """The exit status; what disagrees goes to stderr."""
    documents = {path: path.read_text() for path in sorted(kept_files()) if path.suffix == ".md"}
    reference = "\n".join(text for path, text in documents.items() if is_reference(path))
    current = {path: text for path, text in documents.items() if is_current(path)}
    faults = [
        *broken_links(documents),
        *undescribed(reference),
        *broken_examples(current),
        *unknown_headers(current.values(), source()),
        *wrong_defaults(documents[ROOT / "docs" / "reference" / "settings.md"]),
    ]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(documents)} documents, {len(faults)} faults")
    return 1 if faults else 0


def kept_files() -> set[Path]:
    """The files that git keeps or would keep."""
    listed = subprocess.run(
        [*GIT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    return {ROOT / name for name in set(listed.decode().split("\0")) - {""} if (ROOT / name).is_file()}


def broken_links(documents: dict[Path, str]) -> Iterator[str]:
    """A line for each relative link that leads nowhere, in the file or in its headings."""
    kept = kept_files()
    leads_to = kept | {folder for path in kept for folder in path.parents if folder.is_relative_to(ROOT)}
    for path, text in documents.items():
        prose = _CODE.sub("", _FENCE.sub("", text))
        for target in _LINK.findall(prose):
            if _ELSEWHERE.match(target):
                continue
            name, _, anchor = target.partition("#")
            aim = (path.parent / name).resolve() if name else path
            if aim not in leads_to:
                yield f"{path.relative_to(ROOT)}: the link {target} leads nowhere"
            elif anchor and aim.suffix == ".md" and anchor not in anchors_of(aim.read_text()):
                yield f"{path.relative_to(ROOT)}: {target} names no heading of {aim.relative_to(ROOT)}"


def anchors_of(text: str) -> set[str]:
    """The anchors that code hosts give to the headings of a document."""
    anchors: set[str] = set()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        slug = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).replace(" ", "-")
        repeat = 0
        while (anchor := f"{slug}-{repeat}" if repeat else slug) in anchors:
            repeat += 1
        anchors.add(anchor)
    return anchors


def is_reference(path: Path) -> bool:
    """Whether a document describes the product as it is; decisions and the changelog tell how it came to be so."""
    name = path.relative_to(ROOT)
    return name.parts[0] in {"README.md", "docs"} and name.parts[:2] != ("docs", "decisions")


def is_current(path: Path) -> bool:
    """Whether what a document shows can be typed today: all but decisions, changes, and what was once measured."""
    name = path.relative_to(ROOT)
    return is_reference(path) or name.name == "ARCHITECTURE.md" or name.parts[0] == "examples"


def source() -> str:
    """All that the product is written in."""
    kinds = {".py", ".c", ".html"}
    return "\n".join(path.read_text() for path in sorted(SOURCE.rglob("*")) if path.suffix in kinds)


def undescribed(reference: str) -> Iterator[str]:
    """A line for each name of the product that the reference does not contain as code, a word of its own."""
    code = "\n".join([*_CODE.findall(reference), *(found.group() for found in _FENCE.finditer(reference))])
    for kind, names in (
        ("command", commands()),
        ("setting", settings()),
        ("error code", error_codes()),
        ("route", routes()),
    ):
        before = "" if kind == "route" else r"(?<![\w/-])"  # A route is often named with the prefix it is mounted at.
        for name in sorted(names):
            if not re.search(rf"{before}{re.escape(name)}(?![\w/{{-])", code):
                yield f"the {kind} {name} is described nowhere in README.md or docs/"
    yield from undescribed_flags(code)


def commands() -> set[str]:
    """Every command as it is typed: `entrepot key create`."""
    return {typed for typed, _ in leaves(parser(), "entrepot")}


def settings() -> set[str]:
    """Every setting by its name in the environment."""
    return {CONFIG, *(item.variable for item in DEFINITIONS)}


def error_codes() -> set[str]:
    """The codes of the expected failures."""
    classes = [found for found in vars(errors).values() if isinstance(found, type)]
    return {found.code for found in classes if issubclass(found, errors.EntrepotError)}


def routes() -> set[str]:
    """The paths that the edges answer, as they are written where they are routed: `/batches/{batch_id}`."""
    found = {route.path for route in ROUTES if route.kind != "jobs"}
    for path in sorted((SOURCE / "edge").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Route", "Mount"} and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found.add(re.sub(r":\w+}", "}", first.value))
    return found


if __name__ == "__main__":
    sys.exit(main())
