"""What the books know of budgets, in a file that grows by what has changed, and is replaced whole now and then.

A publication is a line of JSON that says what it is and how many rows follow, and a line for each row. Who reads goes
on where it stopped, so that it costs what has changed, and in pieces, so that nothing else waits long for it. A file
that begins otherwise is another one, and begins with everything.

It is made anew from the books whenever it is lost, so nothing is flushed: after a loss of power a reader finds the old
one, the new one, or one that cannot be read and counts as none.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from entrepot.core.budgets import SCHEMA, Standing, Standings
from entrepot.core.periods import Instant

PIECE_BYTES = 128 * 1024  # About a millisecond of reading.
_CHANGES_BYTES = 2**20  # What changes may come to, beside as much again as everything, before the file begins anew.


_BEGINNING_BYTES = 100  # When and where in the log a file was begun.


class _Head(msgspec.Struct, frozen=True):
    """A publication. rows: how many follow."""

    schema: int
    at: Instant
    through: Instant
    segment: int
    offset: int
    instances: tuple[str, ...]
    is_whole: bool
    rows: int


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode_head = msgspec.json.Decoder(_Head).decode
_decode_row = msgspec.json.Decoder(Standing).decode


class FileStandings:
    """Meets the port PublishedStandings. One publisher at a time. bytes_at_once: that a reader takes."""

    def __init__(self, path: Path, bytes_at_once: int = PIECE_BYTES) -> None:
        self._path = path
        self._bytes_at_once = bytes_at_once
        self._written = _Written()
        self._reading = _Reading()
        self._seen: tuple[int, int, int] | None = None

    def publish(self, standings: Standings) -> None:
        """See ports.standings."""
        rows = {standing.limit.id: standing for standing in standings.budgets}
        before, self._written = self._written, _Written()  # Until it is there, nothing is known to be.
        if self._may_append(before, rows):
            changed = [row for name, row in rows.items() if before.rows.get(name) != row]
            lines, whole_bytes = _lines(standings, changed, is_whole=False), before.whole_bytes
            status = _write(self._path, os.O_APPEND, lines)
        else:
            lines = _lines(standings, list(rows.values()), is_whole=True)
            whole_bytes = len(lines)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
            status = _write(fresh, os.O_CREAT | os.O_TRUNC, lines)
            fresh.replace(self._path)
        self._written = _Written(rows, whole_bytes, status.st_ino, status.st_size)

    def load(self) -> Standings | None:
        """See ports.standings."""
        found: Standings | None = None
        rows: dict[str, Standing] = {}
        for part in _Reading().parts(self._path, -1):
            if part.left:
                break
            rows = {} if part.is_whole and not part.before else rows
            rows |= {row.limit.id: row for row in part.budgets}
            found = part
        if found is None:
            return None
        return msgspec.structs.replace(found, budgets=tuple(rows.values()), is_whole=True, before=0)

    def load_new(self) -> list[Standings]:
        """See ports.standings."""
        try:
            status = self._path.stat()
        except OSError:
            return []
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen == self._seen and self._reading.at == status.st_size:
            return []
        self._seen = seen
        parts = list(self._reading.parts(self._path, self._bytes_at_once))
        if self._reading.is_over:
            self._reading = _Reading()
            parts = list(self._reading.parts(self._path, self._bytes_at_once))
        return parts

    def _may_append(self, before: "_Written", rows: Mapping[str, Standing]) -> bool:
        """Whether the file is the one that was written last, and it is worth going on with."""
        if not before.inode or before.rows.keys() - rows.keys():
            return False
        try:
            status = self._path.stat()
        except OSError:
            return False
        is_last = (status.st_ino, status.st_size) == (before.inode, before.bytes)
        return is_last and before.bytes < 2 * before.whole_bytes + _CHANGES_BYTES


class _Written(msgspec.Struct, frozen=True):
    """What a publisher has left in the file. whole_bytes: what all rows took when it began."""

    rows: Mapping[str, Standing] = {}
    whole_bytes: int = 0
    inode: int = 0
    bytes: int = 0


class _Reading:
    """A reader's way through one file. at: up to which byte it has read. is_over: another file is there now."""

    def __init__(self) -> None:
        self.at = 0
        self.is_over = False
        self._begins = b""
        self._rest = b""
        self._head: _Head | None = None
        self._left = 0
        self._is_broken = False

    def parts(self, path: Path, bytes_max: int) -> Iterator[Standings]:
        """What the next bytes say, publication by publication; nothing more of a file that is none of ours.

        bytes_max: -1 for all of them.
        """
        *lines, self._rest = (self._rest + self._read(path, bytes_max)).split(b"\n")
        rows: list[Standing] = []
        try:
            for line in lines if not self._is_broken else ():
                if self._left:
                    rows.append(_decode_row(line))
                    self._left -= 1
                else:
                    self._head = _decode_head(line)
                    self._left = self._head.rows
                    if self._head.schema != SCHEMA:
                        raise msgspec.DecodeError("another schema")
                if not self._left:
                    yield self._part(rows)
                    rows = []
        except msgspec.DecodeError:
            self._is_broken = True
            return
        if rows:
            yield self._part(rows)

    def _read(self, path: Path, bytes_max: int) -> bytes:
        try:
            with path.open("rb", buffering=0) as file:
                begins = file.read(_BEGINNING_BYTES)
                if not begins.startswith(self._begins):
                    self.is_over = True
                    return b""
                self._begins = begins
                file.seek(self.at)
                read: bytes = file.read(bytes_max)
        except OSError:
            return b""
        self.at += len(read)
        return read

    def _part(self, rows: list[Standing]) -> Standings:
        head = self._head
        assert head is not None
        return Standings(
            head.schema,
            head.at,
            head.segment,
            head.offset,
            head.instances,
            tuple(rows),
            head.through,
            head.is_whole,
            before=head.rows - self._left - len(rows),
            left=self._left,
        )


def _write(path: Path, how: int, lines: bytes) -> os.stat_result:
    with os.fdopen(os.open(path, os.O_WRONLY | how, 0o600), "wb") as file:
        file.write(lines)
        file.flush()
        return os.fstat(file.fileno())


def _lines(standings: Standings, rows: list[Standing], *, is_whole: bool) -> bytes:
    told = standings
    head = _Head(
        SCHEMA, told.at, told.through, told.segment, told.offset, told.instances, is_whole=is_whole, rows=len(rows)
    )
    return b"".join(_encode(item) + b"\n" for item in (head, *rows))
