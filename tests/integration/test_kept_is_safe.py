"""A sink whose kept records count as safe: who waits is told at once, and what is told is in the log in the end."""

import asyncio
from functools import partial

import pytest

from entrepot.adapters import usage_sink
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.kept_frames import KeptFrames
from entrepot.adapters.memory.disk import no_fault
from entrepot.adapters.usage_sink import SocketUsageSink, connect_usage_sink
from entrepot.core.log_records import InstanceLost, LogRecord
from entrepot.ports.event_log import Told
from tests.support.log_installation import Ends, Installation, full, play
from tests.support.log_records import numbered


async def connected(home: Installation, ends: Ends, kept: KeptFrames | None) -> SocketUsageSink:
    return await connect_usage_sink(home.path, "g1", ends.on_lost, kept, kept_is_safe=True)


def test_who_waits_is_told_before_the_disk_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Installation) -> None:
        ends, kept = Ends(), KeptFrames(home.directory, "g1")
        async with home.server():
            monkeypatch.setattr(usage_sink, "HELD_S", 3600)
            sink = await connected(home, ends, kept)
            for number in range(3):
                ends.settle(sink, number)
            assert ends.ended == [], "never inside settle"
            await home.until(lambda: ends.ended == [(0, "done"), (1, "done"), (2, "done")])
            await asyncio.sleep(0.05)
            assert home.records() == [], "it leaves with the next batch, which nobody has asked for"
            await sink.close()
            assert home.records() == [numbered(0), numbered(1), numbered(2)]
        kept.close()

    play(story)


def test_it_leaves_soon_by_itself() -> None:
    async def story(home: Installation) -> None:
        ends, kept = Ends(), KeptFrames(home.directory, "g1")
        async with home.server():
            sink = await connected(home, ends, kept)
            sink.append(numbered(0))
            ends.settle(sink, 1)
            await home.until(lambda: home.records() == [numbered(0), numbered(1)])
            assert ends.ended == [(1, "done")]
            await sink.close()
        kept.close()

    play(story)


class Seen:
    """What of the log's records was durable when each waiter was told."""

    def __init__(self, home: Installation) -> None:
        self._home = home
        self.durable: dict[int, list[LogRecord]] = {}

    def settle(self, sink: SocketUsageSink, *numbers: int) -> None:
        for number in numbers:
            sink.settle(numbered(number), Told(partial(self._told, number), lambda: None))

    async def some_waited(self, count: int) -> None:
        """Returns once all were told: the first few at once, each of the others when the disk had its record."""
        await self._home.until(lambda: len(self.durable) == count)
        at_once = [number for number, records in self.durable.items() if records == []]
        assert at_once == list(range(len(at_once)))
        assert 0 < len(at_once) < 10
        for number in range(len(at_once), count):
            assert numbered(number) in self.durable[number]

    def _told(self, number: int) -> None:
        self.durable[number] = self._home.records()


def test_what_cannot_be_kept_waits_for_the_disk() -> None:
    async def story(home: Installation) -> None:
        kept, seen = KeptFrames(home.directory, "g1", size=300), Seen(home)
        async with home.server():
            sink = await connected(home, Ends(), kept)
            seen.settle(sink, *range(20))
            assert not sink.available
            await seen.some_waited(20)
            await sink.close()
            assert home.records() == [numbered(number) for number in range(20)]
        kept.close()

    play(story)


def test_who_is_faster_than_the_disk_waits_for_it_and_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Installation) -> None:
        kept, seen = KeptFrames(home.directory, "g1"), Seen(home)
        async with home.server():
            monkeypatch.setattr(usage_sink, "SAFE_BYTES_MAX", 300)
            sink = await connected(home, Ends(), kept)
            seen.settle(sink, *range(20))
            assert sink.available, "a further request would be held back by waiting"
            await seen.some_waited(20)
            monkeypatch.setattr(usage_sink, "HELD_S", 3600)
            seen.settle(sink, 20)
            await home.until(lambda: 20 in seen.durable)
            assert numbered(20) not in seen.durable[20], "once the disk has the rest, nobody waits for it"
            await sink.close()
            assert home.records() == [numbered(number) for number in range(21)]
        kept.close()

    play(story)


def test_without_a_place_to_keep_it_everything_waits_for_the_disk() -> None:
    async def story(home: Installation) -> None:
        seen: list[list[LogRecord]] = []
        async with home.server():
            sink = await connected(home, Ends(), None)
            sink.settle(numbered(0), Told(lambda: seen.append(home.records()), lambda: None))
            await home.until(lambda: bool(seen))
            assert seen == [[numbered(0)]]
            await sink.close()

    play(story)


def test_what_was_told_outlives_a_killed_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Installation) -> None:
        ends, kept = Ends(), KeptFrames(home.directory, "g1")
        async with home.server():
            monkeypatch.setattr(usage_sink, "HELD_S", 3600)
            sink = await connected(home, ends, kept)
            sink.append(numbered(0))
            ends.settle(sink, 1)
            await home.until(lambda: ends.ended == [(1, "done")])
            assert sink._transport is not None
            sink._transport.abort()  # Before anything of it was sent.
            kept.close()
            await home.until(lambda: InstanceFile(home.disk).load() == [])
        assert home.records() == [numbered(0), numbered(1), InstanceLost(instance="g1", at=42)]

    play(story)


def test_a_log_that_refuses_serves_nobody_until_it_has_what_was_told() -> None:
    async def story(home: Installation) -> None:
        ends, kept = Ends(), KeptFrames(home.directory, "g1")
        async with home.server():
            sink = await connected(home, ends, kept)
            home.disk.fault = full
            ends.settle(sink, 0)
            await home.until(lambda: not sink.available)
            assert ends.ended == [(0, "done")]
            assert home.records() == []
            ends.settle(sink, 1)
            await home.until(lambda: ends.ended == [(0, "done"), (1, "failed")])
            assert sink.owed == 1
            home.disk.fault = no_fault
            await home.until(lambda: sink.available and sink.owed == 0)
            await sink.close()
            assert home.records() == [numbered(0), numbered(1)]
        kept.close()

    play(story)
