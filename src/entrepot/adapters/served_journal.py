"""The record of what a model process served: one JSON line for each step of a request, in a file beside the model.

A request's last line is what it took. Lines are written through to the kernel, not to the disk: that outlives kill
-9 of this process, and after a power cut whoever asks is in the same cut. A request whose last line says "running"
though this process does not run it was cut off with an earlier one: it is answered as cancelled, with what was last
noted. Lines of progress come about once a second, so such an answer may lack up to a second's tokens, never one it
has. Memory is bounded: older requests are looked for in the file, and the file is followed by one older file at
most.
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

from entrepot.core.errors import BadInput, InvalidRequest
from entrepot.ports.model_engine import Served, ServedState

FILE_BYTES_MAX = 64 * 1024 * 1024
REMEMBERED_MAX = 10_000
PROGRESS_EVERY_S = 1.0


class Line(msgspec.Struct, frozen=True):
    """One line of the file."""

    id: str
    state: str
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int


class ServedJournalFile:
    """The journal of one model process. Raises: BadInput when another process writes the same file."""

    def __init__(
        self, path: Path, *, file_bytes_max: int = FILE_BYTES_MAX, elapsed_s: Callable[[], float] = time.monotonic
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file_bytes_max = file_bytes_max
        self._elapsed_s = elapsed_s
        self._lock = _lock(path)
        self._file = _opened(path)
        self._running: dict[str, Served] = {}
        self._written_s: dict[str, float] = {}
        self._ended: OrderedDict[str, Served] = OrderedDict()

    def begin(self, request_id: str) -> None:
        """Notes a request as running. Raises: InvalidRequest while one of this id is running."""
        if request_id in self._running:
            raise InvalidRequest(
                f"A request with id '{request_id}' is running; give each its own.", param="x-request-id"
            )
        self._ended.pop(request_id, None)
        self._running[request_id] = Served("running")
        self._write(request_id, self._running[request_id])

    def note(self, request_id: str, served: Served) -> None:
        """Notes how far it is: in memory at once, in the file when work begins and then once a second."""
        first = not self._running[request_id].prompt_tokens and served.prompt_tokens
        self._running[request_id] = served
        if first or self._elapsed_s() - self._written_s[request_id] >= PROGRESS_EVERY_S:
            self._write(request_id, served)

    def close(self, request_id: str, served: Served) -> None:
        """Writes down how it ended."""
        self._write(request_id, served)
        del self._running[request_id], self._written_s[request_id]
        self._ended[request_id] = served
        if len(self._ended) > REMEMBERED_MAX:
            self._ended.popitem(last=False)
        if self._file.tell() >= self._file_bytes_max:
            self._turn_over()

    def find(self, request_id: str) -> Served | None:
        """What is known of the last request of this id, from memory or the files."""
        known = self._running.get(request_id) or self._ended.get(request_id)
        if known is not None:
            return known
        for path in (self._path, _older(self._path)):
            found = _last_line_of(path, request_id)
            if found is not None:
                return found
        return None

    def shut(self) -> None:
        """Closes the file; it must not be used after."""
        self._file.close()
        os.close(self._lock)

    def _write(self, request_id: str, served: Served) -> None:
        line = Line(request_id, served.state, served.prompt_tokens, served.output_tokens, served.cached_tokens)
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        self._written_s[request_id] = self._elapsed_s()

    def _turn_over(self) -> None:
        """Begins a new file; what runs is written into it again, for its older lines may soon be gone."""
        self._file.close()
        self._path.replace(_older(self._path))
        self._file = _opened(self._path)
        for request_id, served in self._running.items():
            self._write(request_id, served)


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


def _last_line_of(path: Path, request_id: str) -> Served | None:
    """The last line of a request; a running one was cut off, for no process runs it now."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file, _mapped(file) as lines:
        start = lines.rfind(b'{"id":"%s",' % request_id.encode())
        found = lines[start : lines.find(b"\n", start)] if start >= 0 else None
    if found is None:
        return None
    line = msgspec.json.decode(found, type=Line)
    state: ServedState = "finished" if line.state == "finished" else "cancelled"
    return Served(state, line.prompt_tokens, line.output_tokens, line.cached_tokens)


@contextlib.contextmanager
def _mapped(file: BinaryIO) -> Iterator[bytes | mmap.mmap]:
    """The whole content of a file without reading it into memory."""
    if not os.fstat(file.fileno()).st_size:
        yield b""  # Nothing cannot be mapped.
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content
