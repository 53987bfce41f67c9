"""The log's socket with its clients: batches, acknowledgements, instances, and how connections end."""

import asyncio
import contextlib
import socket
from pathlib import Path

import pytest

from entrepot.adapters import usage_sink
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.kept_frames import KeptFrames, LeftFrames
from entrepot.adapters.log_client import SocketEventLog
from entrepot.adapters.usage_sink import connect_usage_sink
from entrepot.core.errors import UsageLogUnavailable
from entrepot.core.log_records import InstanceLost, LogRecord, encode_record
from entrepot.core.log_wire import MessageReader, batch, hello, read_ack
from entrepot.core.segments import frame
from entrepot.edge import log_api
from entrepot.edge.group_commit import Batch
from entrepot.ports.event_log import Told
from tests.support.log_installation import Ends, Installation, play
from tests.support.log_records import numbered
from tests.support.requests import read_to_end


def test_done_means_durable() -> None:
    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            assert sink.available
            seen: list[list[LogRecord]] = []
            sink.append(numbered(1))
            sink.settle(numbered(2), Told(lambda: seen.append(home.records()), lambda: None))
            await home.until(lambda: bool(seen))
            assert seen == [[numbered(1), numbered(2)]]
            await sink.close()

    play(story)


def test_one_turn_of_the_loop_is_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_who_waits_is_told_a_few_in_each_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a flush that took long thousands may wait, and the end of an answer takes some tens of microseconds."""
    monkeypatch.setattr(usage_sink, "TOLD_AT_ONCE", 20)

    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            for number in range(50):
                ends.settle(sink, number)
            assert await told_by_turns(ends, 50) == [0, 20, 40, 50]
            await sink.close()

    play(story)


def test_so_are_those_of_many_batches_that_one_flush_took(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a flush lasts, each turn of the loop in which a request ends makes a batch of its own."""
    monkeypatch.setattr(usage_sink, "TOLD_AT_ONCE", 20)

    async def story(home: Installation) -> None:
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            ends = Ends()
            for number in range(50):
                ends.settle(sink, number)
                sink._send()
            assert len(sink._unanswered) == 50
            sink._acknowledged(50)
            assert await told_by_turns(ends, 50) == [20, 40, 50]
            await sink.close()

    play(story)


async def told_by_turns(ends: Ends, many: int) -> list[int]:
    """How many have been told, each time that a turn of the loop has told some, until all have, in their order."""
    seen = [len(ends.ended)]
    while seen[-1] < many:
        await asyncio.sleep(0)
        if len(ends.ended) > seen[-1]:
            seen.append(len(ends.ended))
    assert ends.ended == [(number, "done") for number in range(many)]
    return seen


def test_what_is_appended_leaves_with_what_is_settled_or_soon_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(home: Installation) -> None:
        async with home.server() as server:
            monkeypatch.setattr(usage_sink, "HELD_S", 3600)
            sink = await connect_usage_sink(home.path, "g1", lambda: None)
            batches: list[int] = []
            submit = server.commit.submit

            def counted(batch: Batch) -> None:
                batches.append(batch.records)
                submit(batch)

            monkeypatch.setattr(server.commit, "submit", counted)
            ends = Ends()
            for number in range(0, 10, 2):
                sink.append(numbered(number))
                await asyncio.sleep(0)
                ends.settle(sink, number + 1)
                await home.until(lambda: len(ends.ended) == len(batches) > number // 2)  # noqa: B023 - awaited here
            assert batches == [2] * 5
            monkeypatch.setattr(usage_sink, "HELD_S", 0.001)
            sink.append(numbered(10))
            await home.until(lambda: batches == [2] * 5 + [1])
            monkeypatch.setattr(usage_sink, "HELD_S", 3600)
            sink.append(numbered(11))
            await sink.close()  # Which waits for nothing to be settled.
            assert home.records() == [numbered(number) for number in range(12)]

    play(story)


def test_a_gateway_that_is_gone_is_declared_lost() -> None:
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


def test_who_was_connected_when_the_log_process_ended_is_declared_lost_by_the_next() -> None:
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


def test_a_lost_connection_fails_what_was_settled_and_is_said_once() -> None:
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


def test_what_a_gateway_kept_is_taken_in_before_it_is_declared_lost() -> None:
    async def story(home: Installation) -> None:
        ends = Ends()
        kept = KeptFrames(home.directory, "g1")
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", ends.on_lost, kept)
            ends.settle(sink, 0)
            await home.until(lambda: ends.ended == [(0, "done")])
            sink.append(numbered(1))
            ends.settle(sink, 2)
            assert sink._transport is not None
            sink._transport.abort()  # Before anything of it was sent.
            await home.until(lambda: ends.lost == 1)
            sink.append(numbered(3))
        async with home.server():
            await asyncio.sleep(0.05)
            assert home.records() == [numbered(0)], "a gateway that lives may still write"
            kept.close()
            await home.until(lambda: InstanceFile(home.disk).load() == [])
        taken = [numbered(1), numbered(2), numbered(3)]
        assert home.records() == [numbered(0), *taken, InstanceLost(instance="g1", at=42)]
        assert LeftFrames(home.directory).instances() == []

    play(story)


def test_a_gateway_that_starts_while_the_log_process_does_is_not_taken_for_lost() -> None:
    async def story(home: Installation) -> None:
        kept = KeptFrames(home.directory, "g1")  # As it does before it connects.
        async with home.server() as server:
            assert list(server._alive) == ["g1"]
            sink = await connect_usage_sink(home.path, "g1", lambda: None, kept)
            assert list(server._alive) == []
            ends = Ends()
            ends.settle(sink, 0)
            await home.until(lambda: ends.ended == [(0, "done")])
            await sink.close()
            kept.close()
            await home.until(lambda: InstanceFile(home.disk).load() == [])
        assert home.records() == [numbered(0), InstanceLost(instance="g1", at=42)]

    play(story)


def test_of_what_a_gateway_kept_whole_frames_count() -> None:
    """Given kept frames of which a power cut left a part, then the log begins all the same."""

    async def story(home: Installation) -> None:
        kept = KeptFrames(home.directory, "g1")
        for number in range(3):
            kept.add(frame(encode_record(numbered(number))))
        kept.close()
        path = home.directory / "g1.kept"
        content = bytearray(path.read_bytes())
        size = len(frame(encode_record(numbered(0))))
        content[8 + size : 8 + 2 * size] = bytes(size)
        path.write_bytes(content)
        async with home.server():
            await home.until(lambda: LeftFrames(home.directory).instances() == [])
        assert home.records() == [numbered(0), InstanceLost(instance="g1", at=42)]

    play(story)


def test_a_gateway_that_can_keep_no_more_serves_no_more_until_the_log_has_caught_up() -> None:
    async def story(home: Installation) -> None:
        kept = KeptFrames(home.directory, "g1", size=300)
        async with home.server():
            sink = await connect_usage_sink(home.path, "g1", lambda: None, kept)
            for number in range(50):
                sink.append(numbered(number))
            assert not sink.available
            await home.until(lambda: sink.available)
            await sink.close()
            assert home.records() == [numbered(number) for number in range(50)]
        kept.close()

    play(story)


def test_a_client_of_another_language_is_dropped_and_nobody_else() -> None:
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


def test_what_was_sent_before_stopping_is_answered() -> None:
    async def story(home: Installation) -> None:
        ends = Ends()
        async with home.server() as server:
            sink = await connect_usage_sink(home.path, "g1", ends.on_lost)
            for number in range(50):
                ends.settle(sink, number)
            await home.until(lambda: bool(server.commit._waiting) or bool(ends.ended))
        await home.until(lambda: ends.lost == 1)
        assert ends.ended == [(number, "done") for number in range(50)]
        assert len(home.records()) == 50

    play(story)


def test_stopping_waits_until_who_is_there_has_read_the_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_api, "GOODBYE_S_MAX", 60.0)

    async def story(home: Installation) -> None:
        async with home.server() as server:
            early = await connect_usage_sink(home.path, "", lambda: None)
            await early.close()
            await home.until(lambda: not server._connections)
            with socket.socket(socket.AF_UNIX) as client:
                await asyncio.to_thread(client.connect, home.path)
                await home.until(lambda: len(server._connections) == 1)
                [connection] = server._connections
                client.sendall(hello(""))
                sequence = 0
                while not connection._transport.get_write_buffer_size():  # It reads nothing yet.
                    sequence += 1
                    client.sendall(batch(0, sequence, [frame(encode_record(numbered(sequence)))]))
                    await asyncio.sleep(0)
                stopping = asyncio.create_task(server.stop())
                for _ in range(100):
                    await asyncio.sleep(0)
                assert not stopping.done()
                read = await asyncio.to_thread(read_to_end, client)
                await stopping
                assert read_ack(MessageReader().feed(read)[-1].body) == len(home.records()) == sequence

    play(story)


def test_nobody_answers_where_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageLogUnavailable, match="start it first"):
        asyncio.run(connect_usage_sink(str(tmp_path / "x"), "g1", lambda: None))
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("x")
        with pytest.raises(UsageLogUnavailable, match="no word from the log process at x"):
            SocketEventLog(Path("x"))
