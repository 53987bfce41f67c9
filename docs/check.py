"""Checks the documents against the product: exits 0 when they agree, else 1 with one line a disagreement.

Links between markdown files must lead somewhere; every command, setting, route and error code of the product must
be named in README.md or under docs/.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "entrepot"

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def main() -> int:
    """The exit status; what disagrees goes to stderr."""
    documents = {path: path.read_text() for path in markdown_files()}
    faults = [*broken_links(documents)]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(documents)} documents, {len(faults)} faults")
    return 1 if faults else 0


def markdown_files() -> list[Path]:
    """The markdown files that git keeps or would keep, sorted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.md"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout
    return [ROOT / name for name in sorted(set(listed.decode().split("\0")) - {""}) if (ROOT / name).is_file()]


def broken_links(documents: dict[Path, str]) -> Iterator[str]:
    """A line for each relative link that leads nowhere, in the file or in its headings."""
    for path, text in documents.items():
        prose = _CODE.sub("", _FENCE.sub("", text))
        for target in _LINK.findall(prose):
            if _ELSEWHERE.match(target):
                continue
            name, _, anchor = target.partition("#")
            aim = (path.parent / name).resolve() if name else path
            if not aim.exists() or not aim.is_relative_to(ROOT):
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


if __name__ == "__main__":
    sys.exit(main())
