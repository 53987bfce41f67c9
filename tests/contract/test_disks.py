"""What every Disk does, whatever it is made of."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.memory.disk import MemoryDisk
from entrepot.core.errors import UsageLogUnavailable
from entrepot.ports.disk import Disk


@pytest.fixture(params=["local", "memory"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Disk:
    return LocalDisk(tmp_path / "deep" / "log") if request.param == "local" else MemoryDisk(random.Random(1))


def test_a_directory_that_is_not_there_is_empty(disk: Disk) -> None:
    assert disk.names() == []
    with pytest.raises(FileNotFoundError):
        disk.length("x")
    with pytest.raises(FileNotFoundError):
        disk.read("x", 0, 1)


def test_what_is_written_is_read(disk: Disk) -> None:
    disk.lock()
    file = disk.create("x")
    assert file.write_at(0, b"hello world") == 11
    assert file.write_at(6, b"there") == 5
    file.sync()
    assert disk.length("x") == 11
    assert disk.read("x", 0, 5) == b"hello"
    assert disk.read("x", 6, 100) == b"there"
    assert disk.read("x", 100, 1) == b""
    file.truncate(5)
    file.close()
    disk.settle("x")
    assert disk.read("x", 0, 100) == b"hello"
    disk.unlock()


def test_names_come_and_go(disk: Disk) -> None:
    disk.lock()
    disk.create("b").close()
    disk.create("torn/c").close()
    opened = disk.open("a")
    opened.write_at(0, b"a")
    opened.close()
    assert [name for name in disk.names() if name != "lock"] == ["a", "b"]
    with pytest.raises(FileExistsError):
        disk.create("a")
    disk.rename("a", "b")
    disk.sync_names()
    assert disk.read("b", 0, 9) == b"a"
    assert disk.open("b").write_at(1, b"b") == 1
    assert disk.read("b", 0, 9) == b"ab"
    disk.remove("b")
    assert [name for name in disk.names() if name != "lock"] == []
    with pytest.raises(FileNotFoundError):
        disk.remove("b")
    with pytest.raises(FileNotFoundError):
        disk.rename("b", "c")
    disk.unlock()


def test_one_writer_at_a_time(disk: Disk) -> None:
    disk.lock()
    with pytest.raises(UsageLogUnavailable, match="written by"):
        (LocalDisk(disk._directory) if isinstance(disk, LocalDisk) else disk).lock()
    disk.unlock()
    disk.lock()
    assert disk.bytes_free() > 0
    disk.unlock()


def test_the_holder_is_named(tmp_path: Path) -> None:
    LocalDisk(tmp_path).lock()  # Held until this process ends or the object is gone; the descriptor is not closed here.
    with pytest.raises(UsageLogUnavailable, match=f"process {os.getpid()}"):
        LocalDisk(tmp_path).lock()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from entrepot.adapters.local_disk import LocalDisk as Disk"
    code += "; Disk(Path(sys.argv[1])).lock()"
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    disk = LocalDisk(tmp_path)
    disk.lock()
    disk.unlock()


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_keeps_what_was_synced(seed: int) -> None:
    disk = MemoryDisk(random.Random(seed))
    file = disk.create("x")
    file.write_at(0, b"a" * 2000)
    file.sync()
    disk.sync_names()
    file.write_at(2000, b"b" * 2000)
    disk.create("y")
    disk.cut_power()
    kept = disk.read("x", 0, 5000)
    assert kept[:2000] == b"a" * 2000
    assert set(kept[2000:]) <= {0, ord("b")}


def test_a_failed_sync_is_not_made_good_by_the_next() -> None:
    disk = MemoryDisk(random.Random(1))
    file = disk.create("x")
    disk.sync_names()
    lost = set()
    for _ in range(50):
        file.write_at(0, b"new")
        disk.fault = lambda act, _name: "broken" if act == "sync" else None
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        disk.fault = lambda _act, _name: None
        file.sync()
        assert disk.read("x", 0, 3) == b"new"
        disk.settle("x")
        lost.add(disk.read("x", 0, 3))
        file.write_at(0, b"old")
        file.sync()
    assert {b"new", b"old"} <= lost <= {b"new", b"old", b""}
