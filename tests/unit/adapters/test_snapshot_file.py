"""The snapshot file: replaced whole, refused when it is not whole."""

import gc
import json
import stat
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.admission.budgets import Budgets
from entrepot.core.budgets import Budget, OwnedBudget
from entrepot.core.errors import SnapshotRefused
from entrepot.core.snapshot import GatewaySnapshot, ServedKey, ServedProject
from entrepot.core.turns import at_once
from tests.support.gateway import deployment


def snapshot(version: int, schema: int = 1) -> GatewaySnapshot:
    return GatewaySnapshot(
        schema, version, "2024-01-01T00:00:00Z", {}, {"digest": ServedKey("key_1", "search")}, (), {}
    )


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert FileSnapshots(tmp_path / "snapshot.json").load() is None


def test_the_newest_is_read_back(tmp_path: Path) -> None:
    snapshots = FileSnapshots(tmp_path / "made" / "snapshot.json")
    snapshots.publish(snapshot(1))
    snapshots.publish(snapshot(2))
    assert snapshots.load() == snapshot(2)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["snapshot.json"]
    assert stat.S_IMODE((tmp_path / "made" / "snapshot.json").stat().st_mode) == 0o600


def test_a_reader_of_the_old_one_keeps_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    FileSnapshots(path).publish(snapshot(1))
    with path.open("rb") as reading:
        first = reading.read(5)
        FileSnapshots(path).publish(snapshot(2))
        rest = reading.read()
    assert b'"version":1' in first + rest


@pytest.mark.parametrize("payload", [b"", b"{", b'{"schema":1}', b"\xff"])
def test_a_damaged_one_is_refused(tmp_path: Path, payload: bytes) -> None:
    (tmp_path / "snapshot.json").write_bytes(payload)
    with pytest.raises(SnapshotRefused, match="publish it again"):
        FileSnapshots(tmp_path / "snapshot.json").load()


def many(keys: int) -> GatewaySnapshot:
    served = snapshot(1)
    projects = {f"p{number}": ServedProject(f"p{number}", "acme", {"chat": deployment()}) for number in range(250)}
    return replace(
        served, keys={f"digest {number}": ServedKey("key", "p1") for number in range(keys)}, projects=projects
    )


def test_none_of_its_lines_is_long_and_it_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    FileSnapshots(path).publish(many(1234))
    first, *lines = map(json.loads, path.read_bytes().splitlines())
    assert first["lines"] == len(lines) == 3 + 3 + 13
    assert [len(items) for line in lines for items in line.values()] == [100, 100, 50] * 2 + [100] * 12 + [34]
    assert FileSnapshots(path).load() == many(1234)


@pytest.mark.parametrize("change", ["a line is missing", "a line is twice there", "a project is missing"])
def test_one_that_is_not_whole_is_refused(tmp_path: Path, change: str) -> None:
    path = tmp_path / "snapshot.json"
    FileSnapshots(path).publish(many(1234))
    lines = path.read_bytes().splitlines(keepends=True)
    if change == "a line is missing":
        lines.pop()
    elif change == "a line is twice there":
        lines.append(lines[-1])
    else:
        lines[1] = lines[1].replace(b'"p100":', b'"p999":')
    path.write_bytes(b"".join(lines))
    with pytest.raises(SnapshotRefused, match="publish it again"):
        FileSnapshots(path).load()


def test_one_that_is_a_single_object_is_read_as_it_was_before_there_were_lines(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(msgspec.json.encode(many(1234)))
    assert FileSnapshots(path).load() == many(1234)


def test_pythons_collector_has_nothing_to_look_through(tmp_path: Path) -> None:
    """To look through a million objects takes it a tenth of a second, in which nothing is served."""
    path = tmp_path / "snapshot.json"
    owned = (OwnedBudget("key", f"key-{number}", "acme", Budget(10**12)) for number in range(1000))
    FileSnapshots(path).publish(replace(many(1234), budgets=tuple(owned)))
    gc.collect()
    before = len(gc.get_objects())
    kept = FileSnapshots(path).load()
    assert kept is not None
    budgets = Budgets(lambda _: 0, kept.projects)
    at_once(budgets.following(kept.budgets))
    assert all(running.limit_at(0).ends for key in range(1000) for running in budgets.met_by("p1", f"key-{key}"))
    gc.collect()  # It leaves tuples of text alone from the first time that it sees them.
    assert len(gc.get_objects()) - before < 100


def test_one_of_another_schema_is_refused(tmp_path: Path) -> None:
    FileSnapshots(tmp_path / "snapshot.json").publish(snapshot(1, schema=2))
    with pytest.raises(SnapshotRefused, match="upgrade the gateway"):
        FileSnapshots(tmp_path / "snapshot.json").load()


def test_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").mkdir()
    with pytest.raises(SnapshotRefused, match="cannot be read"):
        FileSnapshots(tmp_path / "snapshot.json").load()
