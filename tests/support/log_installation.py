"""A log server with a disk in memory that fails when told to, for stories told in an event loop."""

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.kept_frames import LeftFrames
from entrepot.adapters.memory.disk import Act, Fault, MemoryDisk
from entrepot.adapters.usage_sink import SocketUsageSink
from entrepot.core.log_records import LogRecord
from entrepot.edge.log_api import LogServer
from entrepot.ports.event_log import START, Told
from tests.support.log_records import numbered

ROOM_BYTES = 1_000


class FixedClock:
    """A clock that stands still."""

    def now(self) -> int:
        return 42


class Installation:
    """A disk, and log servers that follow one another on it."""

    def __init__(self, directory: Path) -> None:
        self.disk = MemoryDisk(random.Random(0))
        self.directory = directory
        self.path = str(directory / "log.sock")

    @asynccontextmanager
    async def server(self) -> AsyncIterator[LogServer]:
        log = DiskEventLog(self.disk, room_bytes_min=ROOM_BYTES)
        server = LogServer(log, InstanceFile(self.disk), LeftFrames(self.directory), FixedClock())
        await server.start(self.path)
        try:
            yield server
        finally:
            await server.stop()
            self._remove_socket()

    def _remove_socket(self) -> None:
        Path(self.path).unlink(missing_ok=True)

    def records(self) -> list[LogRecord]:
        return [record for _, record in DiskLogReader(self.disk).read(START, 10**6)]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - it comes true on a disk or at another end
                await asyncio.sleep(0.001)


Story = Callable[[Installation], Coroutine[None, None, None]]


def play(story: Story) -> None:
    """Plays a story on an installation of its own."""
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are too long for a socket's path.
        asyncio.run(story(Installation(Path(directory))))


class Ends:
    """What a sink told about settled records and its connection."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, str]] = []
        self.lost = 0

    def on_lost(self) -> None:
        self.lost += 1

    def settle(self, sink: SocketUsageSink, number: int) -> None:
        waiter = Told(lambda: self.ended.append((number, "done")), lambda: self.ended.append((number, "failed")))
        sink.settle(numbered(number), waiter)


def full(act: Act, _name: str) -> Fault:
    return "broken" if act in {"sync", "create"} else None
