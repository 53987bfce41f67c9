"""What is committed names no machine of its author and nothing that a lock does not vouch for."""

import json
import re
from pathlib import Path

import pytest

from tests.support.tree import ROOT, project_files

# Written in pieces, so that this file does not name them either.
HOSTS = [".".join(parts) for parts in (("files", "pythonhosted", "org"), ("pypi", "org"), ("registry", "npmjs", "org"))]
CHECKOUT = re.compile(rb"(?<![\w.-])/(?:work|root|home/\w+|Users/\w+|tmp/pytest-\w+)/[\w.-]+")


@pytest.mark.parametrize("host", HOSTS)
def test_no_file_names_a_package_registry(host: str) -> None:
    assert [name for name, body in committed() if host.encode() in body] == []


def test_no_file_names_a_path_of_its_author() -> None:
    found = {name: sorted(set(CHECKOUT.findall(body))) for name, body in committed()}
    assert {name: paths for name, paths in found.items() if paths} == {}


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").rglob("*.txt")), ids=lambda path: path.name)
def test_every_locked_requirement_has_a_hash(lock: Path) -> None:
    blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", lock.read_text()))
    assert len(blocks) > 1
    unlocked = [
        block.splitlines()[0]
        for block in blocks
        if block.strip() and not re.match(r"\S+==\S+.*\\\n\s+--hash=sha256:", block)
    ]
    assert unlocked == []


@pytest.mark.parametrize("wanted", sorted((ROOT / "requirements").rglob("*.in")), ids=lambda path: path.name)
def test_every_wanted_requirement_is_locked(wanted: Path) -> None:
    names = re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)", wanted.read_text())
    locked = re.findall(r"(?m)^([a-z0-9][\w.-]*)==", wanted.with_suffix(".txt").read_text())
    assert {normal(name) for name in names} <= {normal(name) for name in locked}


def test_every_package_that_runs_has_its_reason() -> None:
    decided = (ROOT / "docs" / "decisions" / "0001-dependencies.md").read_text()
    rows = " ".join(re.findall(r"(?m)^\|([^|]*)\|", decided.partition("## What was refused")[0]))
    named = {normal(name) for name in re.findall(r"[\w-]+", rows)}
    for listed in ("run.in", "weights.in"):
        wanted = re.findall(r"(?m)^([A-Za-z0-9][\w.-]*)", (ROOT / "requirements" / listed).read_text())
        assert {normal(name) for name in wanted} <= named


@pytest.mark.parametrize("folder", ["tests/e2e/node", "requirements/peers/portkey"])
def test_node_locks_have_hashes_and_name_no_registry(folder: str) -> None:
    lock = json.loads((ROOT / folder / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert packages
    assert [name for name, package in packages.items() if "integrity" not in package or "resolved" in package] == []


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def committed() -> list[tuple[str, bytes]]:
    return [(str(path.relative_to(ROOT)), path.read_bytes()) for path in project_files()]
