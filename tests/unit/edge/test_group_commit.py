"""Group commit: one flush for everybody, refusal, and going on by itself."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence

import pytest

from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_counters import LogCounters
from entrepot.edge import group_commit
from entrepot.edge.group_commit import Batch, GroupCommit


class ScriptedLog:
    """A log that fails as told."""

    def __init__(self) -> None:
        self.counters = LogCounters()
        self.groups: list[list[bytes]] = []
        self.failures: list[Exception] = []
        self.reopen_failures: list[Exception] = []
        self.reopened = 0
        self.closed = False

    def commit(self, frames: Sequence[bytes | memoryview], records: int) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.groups.append([bytes(framed) for framed in frames])
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
    """A group commit over a scripted log, and what it said to everybody."""

    def __init__(self) -> None:
        self.log = ScriptedLog()
        self.changes: list[str | None] = []
        self.changed = asyncio.Event()
        self.commit = GroupCommit(self.log, self.change)

    def change(self, refusal: str | None) -> None:
        self.changes.append(refusal)
        self.changed.set()

    async def until_changes(self, count: int) -> None:
        while len(self.changes) < count:
            await asyncio.wait_for(self.changed.wait(), 30)
            self.changed.clear()


def on_a_desk(story: Callable[[Desk], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        await story(Desk())

    asyncio.run(run())


def test_what_is_sent_in_one_turn_is_one_group() -> None:
    async def story(desk: Desk) -> None:
        one, other = Writer(), Writer()
        for number in range(5):
            desk.commit.submit(Batch(one, number, b"one", 1))
            desk.commit.submit(Batch(other, number, b"other", 3))
        assert one.told == []
        await other.next()
        assert desk.log.groups == [[b"one", b"other"] * 5]
        assert (one.told, other.told) == ([4], [4])
        assert desk.log.counters.records == 5 * 4

    on_a_desk(story)


def test_what_comes_later_is_the_next_group() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        for number in range(3):
            desk.commit.submit(Batch(writer, number, b"x", 1))
            await writer.next()
        assert desk.log.groups == [[b"x"]] * 3
        assert writer.told == [0, 1, 2]

    on_a_desk(story)


def test_a_refusal_reaches_everybody_who_waits_and_ends_by_itself() -> None:
    async def story(desk: Desk) -> None:
        first, second, idle = Writer(), Writer(), Writer()
        desk.log.failures = [UsageLogUnavailable("no space left")]
        desk.log.reopen_failures = [UsageLogUnavailable("still none"), UsageLogUnavailable("still none")]
        desk.commit.submit(Batch(first, 1, b"x", 1))
        desk.commit.submit(Batch(second, 1, b"x", 1))
        await second.next()
        assert (first.told, second.told, idle.told) == (["no space left"], ["no space left"], [])
        assert desk.changes == ["no space left"]
        desk.commit.submit(Batch(idle, 1, b"x", 1))
        assert idle.told == ["no space left"]
        await desk.until_changes(2)
        assert desk.changes == ["no space left", None]
        assert desk.log.reopened == 3
        desk.commit.submit(Batch(idle, 2, b"y", 1))
        idle.heard.clear()
        await idle.next()
        assert desk.log.groups == [[b"y"]]

    on_a_desk(story)


def test_pauses_between_attempts_grow_and_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "RETRY_S_MIN", 0.001)
    monkeypatch.setattr(group_commit, "RETRY_S_MAX", 0.004)

    async def story(desk: Desk) -> None:
        pauses: list[float] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def counted(delay: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
            pauses.append(delay)
            return call_later(delay, callback)

        monkeypatch.setattr(loop, "call_later", counted)
        desk.log.reopen_failures = [UsageLogUnavailable("no space left")] * 5
        desk.commit.start()
        while len(desk.changes) < 2:  # noqa: ASYNC110 - what wakes us would be counted as a pause
            await asyncio.sleep(0)
        assert pauses == [0.001, 0.002, 0.004, 0.004, 0.004]

    on_a_desk(story)


def test_no_failure_of_the_disk_is_taken_for_a_success() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        desk.log.failures = [OSError(5, "Input/output error")]
        desk.log.reopen_failures = [OSError(5, "Input/output error")]
        desk.commit.submit(Batch(writer, 1, b"x", 1))
        await writer.next()
        assert writer.told == ["cannot write the usage log: [Errno 5] Input/output error"]
        await desk.until_changes(2)
        assert desk.log.reopened == 2
        desk.commit.submit(Batch(writer, 2, b"y", 1))
        await writer.next()
        assert (writer.told[1:], desk.log.groups) == ([2], [[b"y"]])

    on_a_desk(story)


def test_a_log_that_cannot_be_written_at_the_start_is_said_at_once() -> None:
    async def story(desk: Desk) -> None:
        desk.log.reopen_failures = [UsageLogUnavailable("no space left")]
        desk.commit.start()
        assert desk.changes == ["no space left"]
        await desk.until_changes(2)
        assert desk.changes == ["no space left", None]

    on_a_desk(story)


def test_stopping_finishes_what_was_submitted() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        desk.commit.submit(Batch(writer, 1, b"x", 1))
        desk.commit.stop()
        assert writer.told == [1]
        assert desk.log.closed
        await asyncio.sleep(0)
        assert desk.log.groups == [[b"x"]]

    on_a_desk(story)


def test_stopped_it_tries_no_more() -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        desk.log.failures = [UsageLogUnavailable("no space left")]
        desk.commit.submit(Batch(writer, 1, b"x", 1))
        desk.commit.stop()
        assert (writer.told, desk.log.reopened) == (["no space left"], 0)
        await asyncio.sleep(2 * group_commit.RETRY_S_MIN)
        assert desk.log.reopened == 0

    on_a_desk(story)


@pytest.mark.parametrize("when", ["commit", "reopen"])
def test_what_nobody_foresaw_breaks_the_process(when: str) -> None:
    async def story(desk: Desk) -> None:
        writer = Writer()
        if when == "commit":
            desk.log.failures = [ZeroDivisionError("a bug")]
            desk.commit.submit(Batch(writer, 1, b"x", 1))
        else:
            desk.log.reopen_failures = [ZeroDivisionError("a bug")]
            desk.commit.start()
        with pytest.raises(ZeroDivisionError):
            await asyncio.wait_for(desk.commit.broken, 30)
        assert writer.told == []

    on_a_desk(story)
