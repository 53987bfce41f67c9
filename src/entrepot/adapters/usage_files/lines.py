"""Physical lines of a text file, plain or gzipped, a chunk at a time.

Usage files are read line by line and never across lines, so that one unbalanced quotation mark or one line of
binary rubbish costs that line and not the rest of the file.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from entrepot.core.errors import BadInput
from entrepot.ports.usage_rows import RowFault

CHUNK_BYTES = 1 << 20
LINE_BYTES_MAX = 1 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineBatch(NamedTuple):
    """Neighbouring lines without their ends, the number of the first, and the lines that were too long to keep."""

    first: int
    lines: list[bytes]
    faults: list[RowFault]


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, unzipped where it is gzip, whatever its name says. Raises: BadInput."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP_MAGIC
        return cast(BinaryIO, gzip.open(path, "rb")) if packed else path.open("rb")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None


def read_lines(path: Path) -> Iterator[LineBatch]:
    """The lines of a text file in order; a byte order mark and carriage returns are not part of them.

    The last line may lack its end, unless the file broke off there. Raises: BadInput, after the last whole line.
    """
    number, rest, skipping = 1, b"", False
    with open_bytes(path) as file:
        for chunk in _chunks(file, path):
            *lines, rest = (rest + chunk).split(b"\n")
            faults = []
            if skipping and lines:  # the end of a line whose beginning was dropped
                lines[0], skipping = b"", False
            if len(rest) > LINE_BYTES_MAX:
                faults.append(_too_long(number + len(lines), rest))
                rest, skipping = b"", True
            elif skipping:
                rest = b""
            yield LineBatch(number, [line.removesuffix(b"\r") for line in lines], faults)
            number += len(lines)
    if rest:
        yield LineBatch(number, [rest.removesuffix(b"\r")], [])


def _chunks(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """The content in pieces. One that breaks off raises, so that its last, cut line is never taken for a whole one."""
    first = True
    while True:
        try:
            chunk = file.read(CHUNK_BYTES)
        except (EOFError, zlib.error, gzip.BadGzipFile, OSError) as error:
            raise BadInput(
                f"{path} breaks off or is damaged ({error}); fetch it again, what came before was read"
            ) from None
        if first:
            chunk, first = chunk.removeprefix(_BYTE_ORDER_MARK), False
        if not chunk:
            return
        yield chunk


def _too_long(line: int, start: bytes) -> RowFault:
    shown = start[:200].decode(errors="replace")
    return RowFault(line=line, reason=f"is longer than {LINE_BYTES_MAX} bytes, no usage record is", row=f"{shown}…")
