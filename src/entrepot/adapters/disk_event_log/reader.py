"""Reading the log from any process while its writer appends."""

from collections.abc import Iterator

import msgspec

from entrepot.adapters.disk_event_log.files import Durable, read_durable, read_header, scan
from entrepot.core.errors import LogDamaged, UsageLogUnavailable
from entrepot.core.log_records import LogRecord, decode_record
from entrepot.core.segments import GENESIS_SEAL, HEADER_BYTES, Frames, segment_name, split_frames
from entrepot.ports.disk import Disk
from entrepot.ports.event_log import START, CheckedLog, Position

_CHUNK_BYTES = 256 * 2**10


class DiskLogReader:
    """Reads what is durable, in order. Holds no file open and no lock. Meets the port LogReader."""

    def __init__(self, disk: Disk, until: Durable | None = None) -> None:
        """until: how far the log goes, where no writer has said so beside it."""
        self._disk = disk
        self._end = until
        self._ends: dict[int, int] = {}

    def read(self, after: Position, limit: int) -> Iterator[tuple[Position, LogRecord]]:
        for number, found in self._pieces(after, limit):
            end = 0
            try:
                for end, payload in zip(found.ends, found.payloads, strict=True):
                    yield Position(number, end), decode_record(payload)
            except msgspec.DecodeError as error:
                raise LogDamaged(
                    f"{segment_name(number)}: the record that ends at offset {end} is of no known kind ({error});"
                    " it was written by a newer version, read it with that"
                ) from None

    def check(self) -> CheckedLog:
        """What the log holds, having read every durable byte and followed the chain of seals. Raises: LogDamaged."""
        durable = self._end or read_durable(self._disk)
        seal, records, size = GENESIS_SEAL, 0, 0
        for number in range(1, durable.segment + 1 if durable else 1):
            assert durable is not None
            if read_header(self._disk, number).previous_seal != seal:
                raise LogDamaged(
                    f"{segment_name(number - 1)}: its content does not match its seal, which stands at offset 24 of"
                    f" {segment_name(number)}; one of the two was altered: restore both from a copy"
                )
            until = self._until(number, durable)
            found = scan(self._disk, number, until)
            if found.length != until:
                raise _damaged(number, found.length)
            seal, records, size = found.seal.digest(), records + found.records, size + found.length
        return CheckedLog(segments=durable.segment if durable else 0, records=records, size_bytes=size, seal=seal.hex())

    def _pieces(self, after: Position, limit: int) -> Iterator[tuple[int, Frames]]:
        """Runs of records after the position, at most limit in all, with their segment's number."""
        durable = self._end or read_durable(self._disk)
        if durable is None and after > START:  # Nobody must take this for the end: there may be more.
            raise UsageLogUnavailable(
                "how far the usage log is durable cannot be read; start `entrepot serve`: its log process says it again"
            )
        number, offset = max(after.segment, 1), after.offset
        while durable is not None and limit > 0 and number <= durable.segment:
            until = self._until(number, durable)
            if offset > until and number < durable.segment:
                raise LogDamaged(
                    f"{segment_name(number)}: ends at offset {until}, but records up to {offset} were read before;"
                    " restore the log from a newer copy"
                )
            if offset < HEADER_BYTES:
                read_header(self._disk, number)
                offset = HEADER_BYTES
            for found in self._segment(number, offset, until, limit):
                yield number, found
                limit -= len(found.ends)
            number, offset = number + 1, 0

    def _segment(self, number: int, offset: int, until: int, limit: int) -> Iterator[Frames]:
        wanted = _CHUNK_BYTES
        while offset < until and limit > 0:
            content = self._read(number, offset, min(wanted, until - offset))
            found = split_frames(content, offset, 0, limit)
            if found.stop in {"bad", "zeros", "seal"} or (found.stop == "short" and offset + len(content) >= until):
                if found.ends:
                    yield found
                raise _damaged(number, found.stop_at)
            if found.stop_at == offset:  # A record longer than the chunk.
                wanted *= 2
            offset, limit = found.stop_at, limit - len(found.ends)
            yield found

    def _until(self, number: int, durable: Durable) -> int:
        """Where the records of a segment end, as far as they may be read."""
        if number == durable.segment:
            return durable.length
        if number not in self._ends:
            self._ends[number] = read_header(self._disk, number + 1).previous_length
        return self._ends[number]

    def _read(self, number: int, offset: int, length: int) -> bytes:
        name = segment_name(number)
        try:
            content = self._disk.read(name, offset, length)
        except FileNotFoundError:
            raise LogDamaged(f"{name}: the file is missing; restore it from a copy") from None
        if len(content) < length:
            raise LogDamaged(
                f"{name}: ends at offset {offset + len(content)}, before its last record; restore it from a copy"
            )
        return content


def _damaged(number: int, offset: int) -> LogDamaged:
    return LogDamaged(
        f"{segment_name(number)}: the record at offset {offset} is damaged; restore this file from a copy"
    )
