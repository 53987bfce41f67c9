"""The log process for real: killed under load, started twice, told to stop, read while it writes."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from entrepot.adapters.disk_event_log.writer import DiskEventLog
from entrepot.adapters.log_client import SocketEventLog
from entrepot.adapters.usage_sink import SocketUsageSink, connect_usage_sink
from entrepot.compose.usage_log import log_settings, open_event_log, open_log_reader
from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_records import InstanceLost, LogRecord, Progressed
from entrepot.ports.event_log import START, Position, Told
from tests.support.log_records import number_of, numbered

WAITERS = 64


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="entrepot-") as directory:
        yield Path(directory)


@contextmanager
def log_process(home: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A log process that serves; killed at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said == {"ready": True, "socket": str(log_settings(home).log_socket), "pid": process.pid}
        yield process
    finally:
        process.kill()
        process.communicate()


class Load:
    """Waiters on one connection that settle, wait for the word and settle again, until the connection is lost."""

    def __init__(self, first: int) -> None:
        self.next = first
        self.acknowledged: list[int] = []
        self.reached = asyncio.Event()
        self.target = 0
        self.lost = asyncio.Event()
        self.ending = False

    async def run(self, home: Path, instance: str, target: int) -> SocketUsageSink:
        """Returns once that many are acknowledged; the load goes on."""
        sink = await connect_usage_sink(str(log_settings(home).log_socket), instance, self.lost.set)
        self.target = target
        for _ in range(WAITERS):
            self.settle(sink)
        async with asyncio.timeout(100):  # Hundreds of flushes, of a disk that others use too.
            await self.reached.wait()
        return sink

    def settle(self, sink: SocketUsageSink) -> None:
        number = self.next
        self.next += 1

        def done() -> None:
            self.acknowledged.append(number)
            if len(self.acknowledged) >= self.target:
                self.reached.set()
            if not self.ending:
                self.settle(sink)

        sink.settle(numbered(number), Told(done, lambda: None))


def records(home: Path) -> list[LogRecord]:
    return [record for _, record in open_log_reader(home).read(START, 10**7)]


def numbers(home: Path) -> list[int]:
    return [number_of(record) for record in records(home) if isinstance(record, Progressed)]


def test_killed_under_load_loses_nothing_acknowledged(home: Path) -> None:
    chance = random.Random(7)
    acknowledged: list[int] = []
    first = 0
    for life in range(4):
        with log_process(home, "--segment-bytes", "60000") as process:
            load = Load(first)

            async def until_killed(load: Load = load, life: int = life, pid: int = process.pid) -> None:
                await load.run(home, f"life-{life}", chance.randrange(1, 6_000))
                os.kill(pid, signal.SIGKILL)
                async with asyncio.timeout(30):
                    await load.lost.wait()

            asyncio.run(until_killed())
        acknowledged += load.acknowledged
        first = load.next
    with log_process(home) as process:
        process.terminate()
        assert process.wait(30) == 0
    held = numbers(home)
    assert set(acknowledged) <= set(held)
    assert held == sorted(set(held)), "something counts twice or out of order"
    assert len(acknowledged) > 1_000
    lost = [record.instance for record in records(home) if isinstance(record, InstanceLost)]
    assert lost == [f"life-{life}" for life in range(4)]
    assert open_log_reader(home).check().records == len(held) + 4


def test_a_second_writer_is_refused(home: Path) -> None:
    with log_process(home) as process:
        second = subprocess.run(
            [sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert second.returncode == 1
        assert second.stderr.splitlines()[-1].endswith(
            f"is being written by process {process.pid}; use its socket, or stop that process first"
        )
        log = open_event_log(home)
        log.append([numbered(1)])
        log.close()
        assert numbers(home) == [1]


def test_told_to_stop_it_answers_what_has_arrived(home: Path) -> None:
    with log_process(home) as process:
        load = Load(0)

        async def until_stopped() -> None:
            await load.run(home, "g1", 500)
            process.terminate()
            async with asyncio.timeout(30):
                await load.lost.wait()

        asyncio.run(until_stopped())
        assert process.wait(30) == 0
    assert set(load.acknowledged) <= set(numbers(home))
    assert not log_settings(home).log_socket.exists()


def test_readers_follow_while_it_writes(home: Path) -> None:
    """Given a reader that keeps its place over many small segments, then it sees each record once and in order."""
    seen: list[int] = []
    ended = threading.Event()

    def follow() -> None:
        place: Position = START
        reader = open_log_reader(home)
        while True:
            last = ended.is_set()
            batch = list(reader.read(place, 1_000))
            seen.extend(number_of(record) for _, record in batch)
            if batch:
                place = batch[-1][0]
            elif last:
                return

    with log_process(home, "--segment-bytes", "20000") as process:
        follower = threading.Thread(target=follow)
        follower.start()

        async def write() -> None:
            load = Load(0)
            sink = await load.run(home, "", 20_000)
            load.ending = True
            await sink.close()

        asyncio.run(write())
        process.terminate()
        process.wait(30)
        ended.set()
        follower.join(30)
    assert seen == numbers(home)
    assert len(seen) >= 20_000


def test_commands_find_the_log_whoever_has_it(home: Path) -> None:
    alone = open_event_log(home)
    assert isinstance(alone, DiskEventLog)
    alone.append([numbered(0)])
    with pytest.raises(UsageLogUnavailable, match=f"written by process {os.getpid()}"):
        open_event_log(home)
    alone.close()
    with log_process(home) as process:
        beside = open_event_log(home)
        assert isinstance(beside, SocketEventLog)
        beside.append([numbered(1)])
        process.kill()
        process.wait(30)
        with pytest.raises(UsageLogUnavailable, match="do the same again"):
            beside.append([numbered(2)])
        beside.close()
    assert log_settings(home).log_socket.exists(), "a killed process cannot tidy up"
    after = open_event_log(home)
    assert isinstance(after, DiskEventLog)
    after.append([numbered(2)])
    after.close()
    assert numbers(home) == [0, 1, 2]


def test_a_damaged_log_is_not_served(home: Path) -> None:
    log = open_event_log(home)
    log.append([numbered(0)])
    log.append([numbered(1)])
    log.close()
    segment = log_settings(home).log_directory / "00000001.seg"
    content = bytearray(segment.read_bytes())
    content[100] ^= 1
    segment.write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    said = "00000001.seg: the record at offset 81 is damaged, and it was durable; restore this file from a copy"
    assert done.stderr.splitlines() == [f"entrepot log: {said}"]
