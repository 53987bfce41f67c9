"""Lines on their way to a file or a pipe, which may be slow, full, moved, or not there."""

import os
from pathlib import Path

from entrepot.adapters.handed_on.line_file import LineFile
from tests.support.gateway import eventually


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(b"there before\n")
    file = LineFile(str(path))
    for number in range(100):
        file.offer(b"%d\n" % number, 1)
    file.close()
    assert path.read_bytes() == b"there before\n" + b"".join(b"%d\n" % number for number in range(100))
    assert (file.taken, file.dropped) == (100, 0)


def test_a_file_that_was_moved_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    file = LineFile(str(path))
    file.offer(b"first\n", 1)
    eventually(lambda: file.taken == 1)
    path.rename(tmp_path / "access.log.1")
    file.offer(b"second\n", 1)
    eventually(lambda: file.taken == 2)
    path.unlink()
    file.offer(b"third\n", 1)
    file.close()
    assert (tmp_path / "access.log.1").read_bytes() == b"first\n"
    assert path.read_bytes() == b"third\n"


def test_a_pipe_that_nobody_reads_takes_what_fits_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = LineFile(str(path), waiting_bytes_max=300_000)
    line = b"x" * 99_999 + b"\n"
    for _ in range(20):
        file.offer(line, 1)
    assert file.dropped >= 17  # A pipe holds 64 KiB; three lines may wait.
    os.set_blocking(reader, True)
    read = 0
    while read < (20 - file.dropped) * len(line):
        read += len(os.read(reader, 1 << 20))
    eventually(lambda: file.taken + file.dropped == 20)
    file.offer(b"again\n", 1)
    assert os.read(reader, 100) == b"again\n"
    os.close(reader)
    file.close()


def test_what_cannot_be_written_is_counted_and_later_lines_are_tried_again(tmp_path: Path) -> None:
    file = LineFile(str(tmp_path / "missing" / "access.log"))
    file.offer(b"lost\n", 1)
    eventually(lambda: file.dropped == 1)
    (tmp_path / "missing").mkdir()
    file.offer(b"kept\n", 1)
    file.close()
    assert (tmp_path / "missing" / "access.log").read_bytes() == b"kept\n"


def test_a_full_disk_costs_its_lines_only() -> None:
    file = LineFile("/dev/full")
    file.offer(b"a\nb\n", 2)
    file.close()
    assert (file.taken, file.dropped) == (0, 2)
