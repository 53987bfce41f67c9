"""The log's socket with its clients, over a disk that fails when told to."""

import asyncio
import contextlib
import random
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from entrepot.adapters import usage_sink
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.log_client import SocketEventLog
from entrepot.adapters.memory.disk import Act, Fault, MemoryDisk, no_fault
from entrepot.adapters.usage_sink import SocketUsageSink, connect_usage_sink
from entrepot.core.errors import BadInput, UsageLogUnavailable
from entrepot.core.log_records import InstanceLost, LogRecord, WorldApplied
from entrepot.edge.group_commit import Batch
from entrepot.edge.log_api import LogServer
from entrepot.ports.event_log import START
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
        self.path = str(directory / "log.sock")

    @asynccontextmanager
    async def server(self) -> AsyncIterator[LogServer]:
        with ThreadPoolExecutor(1) as executor:
            log = DiskEventLog(self.disk, room_bytes_min=ROOM_BYTES)
            server = LogServer(log, InstanceFile(self.disk), FixedClock(), executor)
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
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - it comes true on a disk or at another end
                await asyncio.sleep(0.001)


Story = Callable[[Installation], Coroutine[None, None, None]]


@pytest.fixture
def play() -> Callable[[Story], None]:
    def run(story: Story) -> None:
        with tempfile.TemporaryDirectory() as directory:  # pytest's own are too long for a socket's path.
            asyncio.run(story(Installation(Path(directory))))

    return run


Play = Callable[[Story], None]


class Ends:
    """What a sink told about settled records and its connection."""

    def __init__(self) -> None:
        self.ended: list[tuple[int, str]] = []
        self.lost = 0

    def on_lost(self) -> None:
        self.lost += 1

    def settle(self, sink: SocketUsageSink, number: int) -> None:
        sink.settle(
            numbered(number), lambda: self.ended.append((number, "done")), lambda: self.ended.append((number, "failed"))
        )


def failing_syncs(act: Act, name: str) -> Fault:
    return "broken" if act == "sync" and name.endswith(".seg") else None


def full(act: Act, _name: str) -> Fault:
    return "broken" if act in {"sync", "create"} else None


def test_done_means_durable(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            assert sink.available
            seen: list[list[LogRecord]] = []
            sink.append(numbered(1))
            sink.settle(numbered(2), lambda: seen.append(home.records()), lambda: None)
            await home.until(lambda: bool(seen))
            assert seen == [[numbered(1), numbered(2)]]
            await sink.close()

    play(story)


def test_one_turn_of_the_loop_is_one_batch(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Installation) -> None:
        async with home.server() as server:
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            batches: list[int] = []
            submit = server.commit.submit

            def counted(batch: Batch) -> None:
                batches.append(batch.records)
                submit(batch)

            monkeypatch.setattr(server.commit, "submit", counted)
            ends = Ends()
            for number in range(200):
                ends.settle(sink, number)
            assert ends.ended == []
            await home.until(lambda: len(ends.ended) == 200)
            assert batches == [200]
            assert ends.ended == [(number, "done") for number in range(200)]
            await sink.close()

    play(story)


def test_a_refusal_fails_what_was_settled_and_keeps_what_was_appended(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            home.disk.fault = full
            sink.append(numbered(0))
            ends.settle(sink, 1)
            await home.until(lambda: bool(ends.ended))
            assert ends.ended == [(1, "failed")]
            assert not sink.available
            ends.settle(sink, 2)
            sink.append(numbered(3))
            await home.until(lambda: len(ends.ended) == 2)
            assert ends.ended[1] == (2, "failed")
            home.disk.fault = no_fault
            await home.until(lambda: sink.available)
            ends.settle(sink, 4)
            await home.until(lambda: len(ends.ended) == 3)
            assert home.records() == [numbered(0), numbered(3), numbered(4)]
            await sink.close()

    play(story)


def test_a_client_with_nothing_at_stake_hears_of_a_refusal_too(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            busy = await connect_usage_sink(home.path, "g1", lambda: None)
            idle = await connect_usage_sink(home.path, "g2", lambda: None)
            home.disk.fault = full
            busy.append(numbered(0))
            await home.until(lambda: not idle.available)
            late = await connect_usage_sink(home.path, "", lambda: None)
            assert not late.available
            home.disk.fault = no_fault
            await home.until(lambda: idle.available and late.available and busy.available)
            await home.until(lambda: home.records() == [numbered(0)])
            for sink in (busy, idle, late):
                await sink.close()

    play(story)


def test_a_full_disk_goes_on_by_itself(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            ends.settle(sink, 0)
            await home.until(lambda: len(ends.ended) == 1)
            home.disk.capacity_bytes -= home.disk.bytes_free() - 10
            ends.settle(sink, 1)
            await home.until(lambda: len(ends.ended) == 2)
            home.disk.capacity_bytes += 10 * ROOM_BYTES
            await home.until(lambda: sink.available)
            ends.settle(sink, 2)
            await home.until(lambda: len(ends.ended) == 3)
            assert ends.ended == [(0, "done"), (1, "failed"), (2, "done")]
            assert home.records() == [numbered(0), numbered(2)]
            await sink.close()

    play(story)


def test_a_gateway_that_is_gone_is_declared_lost(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            assert InstanceFile(home.disk).load() == ["g1"]
            command = await connect_usage_sink(home.path, "", lambda: None)
            sink.append(numbered(0))
            await sink.close()
            await command.close()
            await home.until(lambda: InstanceFile(home.disk).load() == [])
            assert home.records() == [numbered(0), InstanceLost(instance="g1", at=42)]

    play(story)


def test_a_gateway_lost_while_the_log_is_refusing_is_declared_lost_later(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server() as server:
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            home.disk.fault = full
            sink.append(numbered(0))
            await home.until(lambda: not sink.available)
            assert sink._transport is not None
            sink._transport.abort()
            await home.until(lambda: not server._connections)
            home.disk.fault = no_fault
            await home.until(lambda: InstanceFile(home.disk).load() == [])
            assert home.records() == [InstanceLost(instance="g1", at=42)]

    play(story)


def test_who_was_connected_when_the_log_process_ended_is_declared_lost_by_the_next(play: Play) -> None:
    async def story(home: Installation) -> None:
        ends = Ends()
        async with home.server():
            await connect_usage_sink(home.path, "g1", ends.on_lost)
            await connect_usage_sink(home.path, "g2", ends.on_lost)
        await home.until(lambda: ends.lost == 2)
        assert home.records() == []
        async with home.server():
            await home.until(lambda: InstanceFile(home.disk).load() == [])
        assert home.records() == [InstanceLost(instance="g1", at=42), InstanceLost(instance="g2", at=42)]

    play(story)


def test_a_gateway_that_cannot_be_listed_is_turned_away(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            home.disk.fault = lambda act, name: "broken" if (act, name) == ("create", "instances.new") else None
            with pytest.raises(UsageLogUnavailable, match="ended the connection"):
                await connect_usage_sink(home.path, "g1", lambda: None)
            home.disk.fault = no_fault
            await (await connect_usage_sink(home.path, "g1", lambda: None)).close()

    play(story)


def test_a_lost_connection_fails_what_was_settled_and_is_said_once(play: Play) -> None:
    async def story(home: Installation) -> None:
        ends = Ends()
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", ends.on_lost)
            ends.settle(sink, 0)
            assert sink._transport is not None
            sink._transport.abort()
            await home.until(lambda: ends.lost == 1)
            assert ends.ended == [(0, "failed")]
            ends.settle(sink, 1)
            await home.until(lambda: len(ends.ended) == 2)
            assert ends.ended[1] == (1, "failed")
            assert not sink.available
            assert ends.lost == 1

    play(story)


def test_a_client_of_another_language_is_dropped_and_nobody_else(play: Play) -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            for said in (b"GET / HTTP/1.1\r\n\r\n", b"\x0d\x00\x00\x00\x02" + bytes(13), b"\x01\x00\x00\x00\x04x"):
                reader, writer = await asyncio.open_unix_connection(home.path)
                writer.write(said)
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
            ends = Ends()
            ends.settle(sink, 0)
            await home.until(lambda: ends.ended == [(0, "done")])
            assert home.records() == [numbered(0)]
            await sink.close()

    play(story)


def test_keeping_too_much_gives_the_connection_up(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_sink, "KEPT_BYTES_MAX", 1_000)

    async def story(home: Installation) -> None:
        ends = Ends()
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", ends.on_lost)
            home.disk.fault = full
            sink.append(numbered(0))
            await home.until(lambda: not sink.available)
            for number in range(40):
                sink.append(numbered(number))
            await home.until(lambda: ends.lost == 1)
            home.disk.fault = no_fault

    play(story)


def test_commands_append_and_hear_the_reason_of_a_refusal(play: Play) -> None:
    async def story(home: Installation) -> None:
        in_thread = asyncio.to_thread
        async with home.server():
            log = await in_thread(SocketEventLog, Path(home.path))
            await in_thread(log.append, [])
            await in_thread(log.append, [numbered(0), numbered(1)])
            assert home.records() == [numbered(0), numbered(1)]
            home.disk.fault = full
            with pytest.raises(UsageLogUnavailable, match=r"cannot write the usage log: Input/output error"):
                await in_thread(log.append, [numbered(2)])
            home.disk.fault = no_fault
            with pytest.raises(BadInput, match="append at most"):
                await in_thread(log.append, [WorldApplied(at=1, world=bytes(15 * 2**20))] * 5)
            await append_in_the_end(log, 3)
        with pytest.raises(UsageLogUnavailable, match="no word from the log process"):
            await in_thread(log.append, [numbered(4)])
        with pytest.raises(UsageLogUnavailable, match="No such file"):
            await in_thread(log.append, [numbered(4)])
        async with home.server():
            await in_thread(log.append, [numbered(5)])
        log.close()
        assert home.records() == [numbered(0), numbered(1), numbered(3), numbered(5)]

    async def append_in_the_end(log: SocketEventLog, number: int) -> None:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(UsageLogUnavailable):
                    return await asyncio.to_thread(log.append, [numbered(number)])
                await asyncio.sleep(0.001)

    play(story)


def test_what_was_sent_before_stopping_is_answered(play: Play) -> None:
    async def story(home: Installation) -> None:
        ends = Ends()
        async with home.server() as server:
            sink = await connect_usage_sink(home.path, "g1", ends.on_lost)
            for number in range(50):
                ends.settle(sink, number)
            await home.until(lambda: server.commit._flush_planned or bool(ends.ended))
        await home.until(lambda: ends.lost == 1)
        assert ends.ended == [(number, "done") for number in range(50)]
        assert len(home.records()) == 50

    play(story)


def test_nobody_answers_where_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageLogUnavailable, match="start it first"):
        asyncio.run(connect_usage_sink(str(tmp_path / "x"), "g1", lambda: None))
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("x")
        with pytest.raises(UsageLogUnavailable, match="no word from the log process at x"):
            SocketEventLog(Path("x"))
