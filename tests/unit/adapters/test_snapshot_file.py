"""The snapshot file: replaced whole, refused when it is not whole."""

import stat
from pathlib import Path

import pytest

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.core.errors import SnapshotRefused
from entrepot.core.snapshot import GatewaySnapshot


def snapshot(version: int, schema: int = 1) -> GatewaySnapshot:
    return GatewaySnapshot(schema, version, "2024-01-01T00:00:00Z", {}, {"digest": ("key_1", "search")}, (), {})


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


def test_one_of_another_schema_is_refused(tmp_path: Path) -> None:
    FileSnapshots(tmp_path / "snapshot.json").publish(snapshot(1, schema=2))
    with pytest.raises(SnapshotRefused, match="upgrade the gateway"):
        FileSnapshots(tmp_path / "snapshot.json").load()


def test_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "snapshot.json").mkdir()
    with pytest.raises(SnapshotRefused, match="cannot be read"):
        FileSnapshots(tmp_path / "snapshot.json").load()
