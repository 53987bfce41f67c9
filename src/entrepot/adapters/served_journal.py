"""The record of what a model process served, so that it can be asked for afterwards.

Two files. The journal has one JSON line for each request that ended. Beside it, the file of what runs has a place of
fixed length for each running request, rewritten in one write at every token before the token is handed on. Writes go
to the kernel, not to the disk: that outlives kill -9 of this process, and after a power cut whoever asks is in the
same cut. What a new process finds in the file of what runs was cut off: it is put into the journal as cancelled, with
its last count. So a count may have a token that was not handed on any more, and never lacks one that was.

Memory is bounded: older requests are looked for in the file, and the journal is followed by one older file at most.
"""

import contextlib
import fcntl
import mmap
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from entrepot.core.errors import BadInput, InvalidRequest, UpstreamUnavailable
from entrepot.ports.model_engine import Served, ServedState

FILE_BYTES_MAX = 64 * 1024 * 1024
REMEMBERED_MAX = 10_000
PLACE_BYTES = 384  # An id has up to 128 bytes, the rest of a line up to 180.


class Line(msgspec.Struct, frozen=True):
    """What one request took. run: tells apart several that had one id."""

    id: str
    run: int
    state: ServedState
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int

    def served(self) -> Served:
        """The same without the id."""
        return Served(self.state, self.prompt_tokens, self.output_tokens, self.cached_tokens)


class ServedJournalFile:
    """The journal of one model process. Raises: BadInput when another process writes the same file."""

    def __init__(
        self, path: Path, *, file_bytes_max: int = FILE_BYTES_MAX, mint_run: Callable[[], int] = time.time_ns
    ) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._file_bytes_max = file_bytes_max
        self._mint_run = mint_run
        self._lock = _lock(path)
        self._file = _opened(path)
        self._running = _Places(path.with_name(f"{path.name}.running"))
        self._ended: OrderedDict[str, Served] = OrderedDict()
        self._take_over()

    def begin(self, request_id: str) -> None:
        """See ports.model_engine."""
        if request_id in self._running:
            raise InvalidRequest(
                f"A request with id '{request_id}' is running; give each its own.", param="x-request-id"
            )
        self._ended.pop(request_id, None)
        try:
            self._running.put(_line(request_id, self._mint_run(), Served("running")))
        except OSError as error:
            self._running.forget(request_id)
            raise UpstreamUnavailable(
                f"The model process cannot write down what it serves: {error.strerror}; make room for {self._path}"
            ) from None

    def note(self, request_id: str, served: Served) -> None:
        """Notes how far it is."""
        self._running.put(_line(request_id, self._running[request_id].run, served))

    def close(self, request_id: str, served: Served) -> None:
        """Writes down how it ended."""
        self._append(_line(request_id, self._running[request_id].run, served))
        self._running.free(request_id)
        self._ended[request_id] = served
        if len(self._ended) > REMEMBERED_MAX:
            self._ended.popitem(last=False)

    def find(self, request_id: str) -> Served | None:
        """What is known of the last request of this id, from memory or the files."""
        if request_id in self._running:
            return self._running[request_id].served()
        if request_id in self._ended:
            return self._ended[request_id]
        line = self._last_line(request_id)
        return None if line is None else line.served()

    def shut(self) -> None:
        """Closes the files; it must not be used after. What runs is found as cut off by the next one."""
        self._running.shut()
        self._file.close()
        os.close(self._lock)

    def _take_over(self) -> None:
        """Ends in the journal what an earlier process left running."""
        for line in self._running.left:
            known = self._last_line(line.id)
            if known is None or known.run != line.run:  # Else it was killed between closing and freeing.
                self._append(msgspec.structs.replace(line, state="cancelled"))
        self._running.clear()

    def _append(self, line: Line) -> None:
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        if self._file.tell() >= self._file_bytes_max:
            self._file.close()
            self._path.replace(_older(self._path))
            self._file = _opened(self._path)

    def _last_line(self, request_id: str) -> Line | None:
        return _last_line_in(self._path, request_id) or _last_line_in(_older(self._path), request_id)


class _Places:
    """The running requests, each in a place of a file. left: what was found in it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._lines: dict[str, Line] = {}
        self._places: dict[str, int] = {}
        self._free: list[int] = []
        self.left = list(_lines_of(path.read_bytes()))

    def __contains__(self, request_id: object) -> bool:
        return request_id in self._lines

    def __getitem__(self, request_id: str) -> Line:
        return self._lines[request_id]

    def put(self, line: Line) -> None:
        """Writes a line over the request's last one, in one write."""
        place = self._places.get(line.id)
        if place is None:
            place = self._places[line.id] = self._free.pop() if self._free else len(self._lines)
        self._lines[line.id] = line
        os.pwrite(self._file, msgspec.json.encode(line).ljust(PLACE_BYTES), place * PLACE_BYTES)

    def free(self, request_id: str) -> None:
        """Empties a request's place for another."""
        os.pwrite(self._file, b" " * PLACE_BYTES, self._places[request_id] * PLACE_BYTES)
        self.forget(request_id)

    def forget(self, request_id: str) -> None:
        """Gives a request's place, where nothing of it is written, to another."""
        del self._lines[request_id]
        self._free.append(self._places.pop(request_id))

    def clear(self) -> None:
        """Empties the file."""
        self.left = []
        os.ftruncate(self._file, 0)

    def shut(self) -> None:
        """Closes the file."""
        os.close(self._file)


def _line(request_id: str, run: int, served: Served) -> Line:
    return Line(request_id, run, served.state, served.prompt_tokens, served.output_tokens, served.cached_tokens)


def _lines_of(places: bytes) -> Iterator[Line]:
    """What the filled places hold; a half line, which only a power cut can leave, counts as none."""
    for start in range(0, len(places), PLACE_BYTES):
        with contextlib.suppress(msgspec.DecodeError):
            yield msgspec.json.decode(places[start : start + PLACE_BYTES], type=Line)


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _lock(path: Path) -> int:
    """A held lock; it ends with its process, however that ends."""
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BadInput(
            f"{path} is being written: another process serves this model from this home. Stop it first."
        ) from None
    return lock


def _opened(path: Path) -> BinaryIO:
    """The file, to be appended to; a half line that a power cut left is taken off."""
    file = path.open("ab+")
    with _mapped(file) as lines:
        whole = lines.rfind(b"\n") + 1
    file.truncate(whole)
    return file


def _last_line_in(path: Path, request_id: str) -> Line | None:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file, _mapped(file) as lines:
        start = lines.rfind(b'{"id":"%s",' % request_id.encode())
        found = lines[start : lines.find(b"\n", start)] if start >= 0 else None
    return None if found is None else msgspec.json.decode(found, type=Line)


@contextlib.contextmanager
def _mapped(file: BinaryIO) -> Iterator[bytes | mmap.mmap]:
    """The whole content of a file without reading it into memory."""
    if not os.fstat(file.fileno()).st_size:
        yield b""  # Nothing cannot be mapped.
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content
