"""The log's socket with its clients when the disk fails: what is refused, what is kept, and how it goes on."""

import asyncio
import contextlib
import random
from pathlib import Path

import pytest

from entrepot.adapters import usage_sink
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.kept_frames import KeptFrames
from entrepot.adapters.log_client import SocketEventLog
from entrepot.adapters.memory.disk import no_fault
from entrepot.adapters.usage_sink import connect_usage_sink
from entrepot.core.errors import BadInput, UsageLogUnavailable
from entrepot.core.log_records import InstanceLost, Progressed, WorldApplied, encode_record
from entrepot.core.log_wire import ACK, NACK, STATE, MessageReader, batch, hello, read_ack, read_nack, state
from entrepot.core.segments import frame
from entrepot.ports.event_log import Told
from tests.support.log_installation import ROOM_BYTES, Ends, Installation, full, play
from tests.support.log_records import number_of, numbered


def test_a_refusal_fails_what_was_settled_and_keeps_all_of_it_in_order() -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            home.disk.fault = full
            sink.append(numbered(0))
            ends.settle(sink, 1)
            await home.until(lambda: bool(ends.ended))
            assert ends.ended == [(1, "failed")]
            assert (sink.available, sink.owed) == (False, 1)
            ends.settle(sink, 2)
            sink.append(numbered(3))
            await home.until(lambda: len(ends.ended) == 2)
            assert (ends.ended[1], sink.owed) == ((2, "failed"), 2)
            home.disk.fault = no_fault
            await home.until(lambda: sink.available)
            ends.settle(sink, 4)
            await home.until(lambda: len(ends.ended) == 3)
            assert ends.ended[2] == (4, "done")
            assert home.records() == [numbered(number) for number in range(5)]
            assert sink.owed == 0
            await sink.close()

    play(story)


@pytest.mark.parametrize("refused", [False, True])
def test_a_request_that_fails_as_it_ends_takes_nobody_with_it(refused: bool, caplog: pytest.LogCaptureFixture) -> None:
    def crash() -> None:
        raise ZeroDivisionError

    async def story(home: Installation) -> None:
        async with home.server():
            ends = Ends()
            sink = await connect_usage_sink(home.path, "g1", ends.on_lost)
            home.disk.fault = full if refused else no_fault
            sink.settle(numbered(0), Told(crash, crash))
            ends.settle(sink, 1)
            await home.until(lambda: bool(ends.ended))
            home.disk.fault = no_fault
            await home.until(lambda: sink.available)
            ends.settle(sink, 2)
            await home.until(lambda: len(ends.ended) == 2)
            assert ends.ended == [(1, "failed" if refused else "done"), (2, "done")]
            assert home.records() == [numbered(number) for number in range(3)]
            assert ends.lost == 0
            await sink.close()

    play(story)
    assert [record.message for record in caplog.records].count("request_not_ended") == 1


def test_a_client_with_nothing_at_stake_hears_of_a_refusal_too() -> None:
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


def test_what_is_settled_in_the_turn_in_which_the_log_becomes_unavailable_fails_at_once() -> None:
    """Others' records were refused; nothing of this gateway's was on its way, so that nothing of it is."""

    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            sink.append(numbered(0))
            ends.settle(sink, 1)
            sink.data_received(state(False, "the disk is full"))
            await asyncio.sleep(0)
            assert (ends.ended, sink.owed, sink._hoarded_bytes > 0) == ([(1, "failed")], 1, True)
            sink.data_received(state(True, ""))
            ends.settle(sink, 2)
            await home.until(lambda: len(ends.ended) == 2)
            assert (ends.ended[1], sink.owed) == ((2, "done"), 0)
            assert home.records() == [numbered(number) for number in range(3)]
            await sink.close()

    play(story)


def test_a_full_disk_goes_on_by_itself() -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            ends.settle(sink, 0)
            await home.until(lambda: len(ends.ended) == 1)
            home.disk.capacity_bytes -= home.disk.bytes_free() - 10
            number = 0
            while not sink.owed:  # What was made ahead takes a few more.
                number += 1
                ends.settle(sink, number)
                await home.until(lambda: len(ends.ended) == number + 1)  # noqa: B023 - it is awaited here
            home.disk.capacity_bytes += 10 * ROOM_BYTES
            await home.until(lambda: sink.available)
            ends.settle(sink, number + 1)
            await home.until(lambda: len(ends.ended) == number + 2)
            assert ends.ended[-2:] == [(number, "failed"), (number + 1, "done")]
            assert {how for _, how in ends.ended[:-2]} == {"done"}
            assert home.records() == [numbered(one) for one in range(number + 2)]
            await sink.close()

    play(story)


def test_a_gateway_lost_while_the_log_is_refusing_is_declared_lost_later() -> None:
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


def test_what_is_owed_outlives_a_killed_gateway() -> None:
    async def story(home: Installation) -> None:
        kept = KeptFrames(home.directory, "g1")
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None, kept)
            ends = Ends()
            home.disk.fault = full
            ends.settle(sink, 0)
            await home.until(lambda: not sink.available)
            ends.settle(sink, 1)
            assert sink._transport is not None
            sink._transport.abort()
            await home.until(lambda: ends.ended == [(0, "failed"), (1, "failed")])
            kept.close()
            home.disk.fault = no_fault
            await home.until(lambda: InstanceFile(home.disk).load() == [])
        assert home.records() == [numbered(0), numbered(1), InstanceLost(instance="g1", at=42)]

    play(story)


def test_closing_waits_for_what_is_kept_nowhere_else() -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            home.disk.fault = full
            sink.append(numbered(0))
            closing = asyncio.create_task(sink.close())
            await home.until(lambda: not sink.available)
            assert not closing.done()
            home.disk.fault = no_fault
            await asyncio.wait_for(closing, 30)
            assert home.records()[0] == numbered(0)

    play(story)


def test_closing_does_not_wait_for_what_is_kept() -> None:
    async def story(home: Installation) -> None:
        kept = KeptFrames(home.directory, "g1")
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None, kept)
            home.disk.fault = full
            sink.append(numbered(0))
            await asyncio.wait_for(sink.close(), 30)
            kept.close()
            home.disk.fault = no_fault
            await home.until(lambda: InstanceFile(home.disk).load() == [])
        assert home.records() == [numbered(0), InstanceLost(instance="g1", at=42)]

    play(story)


def test_a_gateway_that_cannot_be_listed_is_turned_away() -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            home.disk.fault = lambda act, name: "broken" if (act, name) == ("create", "instances.new") else None
            with pytest.raises(UsageLogUnavailable, match="ended the connection"):
                await connect_usage_sink(home.path, "g1", lambda: None)
            home.disk.fault = no_fault
            await (await connect_usage_sink(home.path, "g1", lambda: None)).close()

    play(story)


def test_what_was_sent_before_a_refusal_was_heard_is_refused_too() -> None:
    """Given a batch that crosses a refusal on its way, when the log is back before it arrives, it does not count."""

    async def story(home: Installation) -> None:
        async with home.server():
            observer = await connect_usage_sink(home.path, "", lambda: None)
            reader, writer = await asyncio.open_unix_connection(home.path)
            messages = MessageReader()

            async def heard(kind: int) -> bytes:
                async with asyncio.timeout(30):
                    while True:
                        for message in messages.feed(await reader.read(1)):
                            if message.kind == kind:
                                return message.body

            def framed(number: int) -> list[bytes]:
                return [frame(encode_record(numbered(number)))]

            writer.write(hello(""))
            await heard(STATE)
            home.disk.fault = full
            writer.write(batch(0, 1, framed(1)))
            assert read_nack(await heard(NACK))[0] == 1
            home.disk.fault = no_fault
            await home.until(lambda: observer.available)
            writer.write(batch(0, 2, framed(2)) + batch(1, 3, framed(3)))
            assert read_ack(await heard(ACK)) == 3
            assert home.records() == [numbered(3)]
            writer.close()
            await observer.close()

    play(story)


@pytest.mark.parametrize("seed", range(3))
def test_through_many_refusals_each_gateway_keeps_its_word_and_order(seed: int) -> None:
    """Given flushes that fail again and again, everything is in the log in the end, each record once and in its
    gateway's order, and whoever was told that a record is durable was told so after it was."""

    async def story(home: Installation) -> None:
        chance = random.Random(seed)
        async with home.server():
            sinks = [await connect_usage_sink(home.path, f"g{place}", lambda: None) for place in range(3)]
            ends = Ends()
            written: list[list[int]] = [[], [], []]
            settled = 0
            # Nothing fails before a first record is durable: a log that refuses from the start may refuse them all.
            home.disk.fault = lambda act, _name: (
                "broken" if act == "sync" and ends.ended and chance.random() < 0.2 else None
            )
            for number in range(600):
                place = chance.randrange(3)
                written[place].append(number)
                if chance.random() < 0.5:
                    sinks[place].append(numbered(number))
                else:
                    ends.settle(sinks[place], number)
                    settled += 1
                if chance.random() < 0.2:
                    await asyncio.sleep(0.001)
            done = {number for number, how in ends.ended if how == "done"}
            assert done <= set(numbers_of(home))
            home.disk.fault = no_fault
            for sink in sinks:
                async with asyncio.timeout(30):
                    await sink.close()
                assert sink.owed == 0
            assert len(ends.ended) == settled
        held = numbers_of(home)
        assert {how for _, how in ends.ended} == {"done", "failed"}
        assert sorted(held) == list(range(600))
        for numbers in written:
            assert [number for number in held if number in set(numbers)] == numbers

    def numbers_of(home: Installation) -> list[int]:
        return [number_of(record) for record in home.records() if isinstance(record, Progressed)]

    play(story)


def test_a_gateway_that_came_back_stays_on_the_list() -> None:
    """Given a loss that reaches the log only after its gateway has connected again, the second end is not forgotten."""

    async def story(home: Installation) -> None:
        async with home.server() as server:
            first = await connect_usage_sink(home.path, "g1", lambda: None)
            home.disk.fault = lambda act, name: "broken" if act == "sync" and name.startswith("0") else None
            first.append(numbered(0))
            await home.until(lambda: not first.available)
            assert first._transport is not None
            first._transport.abort()
            await home.until(lambda: not server._connections)
            second = await connect_usage_sink(home.path, "g1", lambda: None)
            home.disk.fault = no_fault
            await home.until(lambda: not server._losses)
            assert InstanceFile(home.disk).load() == ["g1"]
            await second.close()
            await home.until(lambda: InstanceFile(home.disk).load() == [])
            assert home.records() == [InstanceLost(instance="g1", at=42)] * 2

    play(story)


def test_keeping_too_much_gives_the_connection_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_sink, "HOARDED_BYTES_MAX", 1_000)

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


def test_commands_append_and_hear_the_reason_of_a_refusal() -> None:
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
