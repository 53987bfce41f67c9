"""Group commit: one flush at a time for everybody, refusal, and going on by itself."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from entrepot.core.errors import UsageLogUnavailable
from entrepot.edge import group_commit
from entrepot.edge.group_commit import Batch, GroupCommit
from entrepot.ports.event_log import LogCounters


class GatedLog:
    """A log whose commits wait at a gate and then do as told."""

    def __init__(self) -> None:
        self.counters = LogCounters()
        self.groups: list[list[bytes]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.failures: list[Exception] = []
        self.reopen_failures: list[Exception] = []
        self.reopened = 0
        self.closed = False

    def commit(self, frames: Sequence[bytes], records: int) -> None:
        self.entered.set()
        assert self.gate.wait(30)
        if self.failures:
            raise self.failures.pop(0)
        self.groups.append(list(frames))
        self.counters.add(records, 0, 0)

    def reopen(self) -> None:
        self.reopened += 1
        if self.reopen_failures:
            raise self.reopen_failures.pop(0)

    def close(self) -> None:
        self.closed = True


class Writer:
    """An author that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[int | str] = []
        self.heard = asyncio.Event()

    def committed(self, sequence: int) -> None:
        self.told.append(sequence)
        self.heard.set()

    def refused(self, reason: str) -> None:
        self.told.append(reason)
        self.heard.set()

    async def next(self) -> None:
        await asyncio.wait_for(self.heard.wait(), 30)
        self.heard.clear()


class Desk:
    """A group commit over a gated log, and what it said to everybody."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.log = GatedLog()
        self.changes: list[str | None] = []
        self.changed = asyncio.Event()
        self.pressure: list[bool] = []
        self.commit = GroupCommit(self.log, executor, self.change, self.pressure.append)

    def change(self, refusal: str | None) -> None:
        self.changes.append(refusal)
        self.changed.set()


def on_a_desk(story: Callable[[Desk], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        with ThreadPoolExecutor(1) as executor:
            await story(Desk(executor))

    asyncio.run(run())


def test_what_arrives_during_a_flush_is_one_group() -> None:
    async def story(desk: Desk) -> None:
        one, other = Writer(), Writer()
        desk.log.gate.clear()
        desk.commit.submit(Batch(one, 1, b"first", 1))
        assert await asyncio.to_thread(desk.log.entered.wait, 30)
        for number in range(2, 50):
            desk.commit.submit(Batch(one, number, b"one", 1))
            desk.commit.submit(Batch(other, number, b"other", 3))
        desk.log.gate.set()
        await other.next()
        assert desk.log.groups == [[b"first"], [b"one", b"other"] * 48]
        assert one.told == [1, 49]
        assert other.told == [49]
        assert desk.log.counters.records == 1 + 48 * 4

    on_a_desk(story)


def test_what_is_sent_in_one_turn_is_one_group() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        for number in range(5):
            desk.commit.submit(Batch(writer, number, b"x", 1))
        await writer.next()
        assert desk.log.groups == [[b"x"] * 5]

    on_a_desk(story)


def test_a_group_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "GROUP_BYTES_MAX", 10)

    async def story(desk: Desk) -> None:
        writer = Writer()
        for number in range(5):
            desk.commit.submit(Batch(writer, number, bytes(6), 1))
        await desk.commit.stop()
        assert [len(group) for group in desk.log.groups] == [2, 2, 1]
        assert writer.told == [1, 3, 4]

    on_a_desk(story)


def test_a_refusal_reaches_everybody_who_waits_and_ends_by_itself() -> None:
    async def story(desk: Desk) -> None:
        first, second, idle = Writer(), Writer(), Writer()
        desk.log.failures = [UsageLogUnavailable("no space left")]
        desk.log.reopen_failures = [UsageLogUnavailable("still none"), UsageLogUnavailable("still none")]
        desk.log.gate.clear()
        desk.commit.submit(Batch(first, 1, b"x", 1))
        assert await asyncio.to_thread(desk.log.entered.wait, 30)
        desk.commit.submit(Batch(second, 1, b"x", 1))
        desk.log.gate.set()
        await second.next()
        assert (first.told, second.told, idle.told) == (["no space left"], ["no space left"], [])
        assert desk.changes == ["no space left"]
        desk.commit.submit(Batch(idle, 1, b"x", 1))
        assert idle.told == ["no space left"]
        desk.changed.clear()
        await asyncio.wait_for(desk.changed.wait(), 30)
        assert desk.changes == ["no space left", None]
        assert desk.log.reopened == 3
        desk.commit.submit(Batch(idle, 2, b"y", 1))
        idle.heard.clear()
        await idle.next()
        assert desk.log.groups == [[b"y"]]

    on_a_desk(story)


def test_no_failure_of_the_disk_is_taken_for_a_success() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        desk.log.failures = [OSError(5, "Input/output error")]
        desk.log.reopen_failures = [OSError(5, "Input/output error")]
        desk.commit.submit(Batch(writer, 1, b"x", 1))
        await writer.next()
        assert writer.told == ["cannot write the usage log: [Errno 5] Input/output error"]
        while len(desk.changes) < 2:
            await asyncio.wait_for(desk.changed.wait(), 30)
            desk.changed.clear()
        assert desk.log.reopened == 2
        desk.commit.submit(Batch(writer, 2, b"y", 1))
        await writer.next()
        assert (writer.told[1:], desk.log.groups) == ([2], [[b"y"]])

    on_a_desk(story)


def test_a_log_that_cannot_be_written_at_the_start_is_said_at_once() -> None:
    async def story(desk: Desk) -> None:
        desk.log.reopen_failures = [UsageLogUnavailable("no space left")]
        desk.commit.start()
        while len(desk.changes) < 2:
            await asyncio.wait_for(desk.changed.wait(), 30)
            desk.changed.clear()
        assert desk.changes == ["no space left", None]

    on_a_desk(story)


def test_pressure_is_said_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "WAITING_BYTES_MAX", 100)

    async def story(desk: Desk) -> None:
        writer = Writer()
        desk.log.gate.clear()
        for number in range(3):
            desk.commit.submit(Batch(writer, number, bytes(40), 1))
        assert desk.pressure == [True]
        desk.log.gate.set()
        await writer.next()
        assert desk.pressure == [True, False]

    on_a_desk(story)


def test_stopping_finishes_what_was_submitted() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        desk.commit.submit(Batch(writer, 1, b"x", 1))
        await desk.commit.stop()
        assert writer.told == [1]
        assert desk.log.closed

    on_a_desk(story)


def test_what_nobody_foresaw_breaks_the_process() -> None:
    async def story(desk: Desk) -> None:
        desk.log.failures = [ZeroDivisionError("a bug")]
        desk.commit.submit(Batch(Writer(), 1, b"x", 1))
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(desk.commit.broken, 30)

    on_a_desk(story)
