"""Realtime sessions that are cut short: what was used is recorded as the upstream counted it, or is resolved later."""

import asyncio
import json
import random
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entrepot.core.log_records import Abandoned, Admitted, UsageRecorded
from entrepot.core.upstream_rules import UpstreamRules
from tests.support.gateway import (
    deployment,
    snapshot,
    target,
)
from tests.support.realtime import METERS, Realtime, answer, create, run, talking, until_the_end


@pytest.mark.parametrize("how", ["close", "abort", "half-close"])
def test_a_client_that_leaves_in_a_response_pays_for_what_the_upstream_counted(realtime: Realtime, how: str) -> None:
    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=50 stall=4")
            for _ in range(5):
                await connection.recv()
            if how == "abort":
                connection.transport.abort()
            if how == "half-close":
                connection.transport.write_eof()
                with pytest.raises(ConnectionClosed):
                    await until_the_end(connection)

    run(work())
    [event] = realtime.events(1)
    [held] = realtime.upstream.sessions.values()
    assert held.said[1] == {"type": "response.cancel", "response_id": "resp_0"}
    assert (event.outcome, event.source) == ("client_left", "reported")
    assert json.loads(event.raw) == held.done[0]
    assert event.meters["output_tokens"] == 4
    realtime.ended()
    assert realtime.gateway.of(Abandoned) == []


def test_an_upstream_whose_rule_is_no_bill_charges_nothing_then(realtime: Realtime) -> None:
    free = {"up": UpstreamRules(on_client_abort="no_bill")}
    talk = deployment("talk", target(realtime.upstream.base_url), operations=("realtime",))
    realtime.gateway.adopt(msgspec.structs.replace(snapshot(talk), upstreams=free))

    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection)
            await create(connection, "parts=50 stall=4")
            for _ in range(5):
                await connection.recv()

    run(work())
    whole, cut = realtime.events(2)
    assert whole.meters == METERS
    assert (cut.outcome, cut.source, cut.meters, cut.raw) == ("client_left", "reported", {}, b"")


def test_a_session_counts_at_its_upstream_until_it_ends(realtime: Realtime) -> None:
    narrow = {"up": UpstreamRules(max_concurrent=1)}
    talk = deployment("talk", target(realtime.upstream.base_url), operations=("realtime",))
    realtime.gateway.adopt(msgspec.structs.replace(snapshot(talk), upstreams=narrow))

    async def work() -> None:
        async with talking(realtime):
            with pytest.raises(InvalidStatus) as refused:
                async with talking(realtime):
                    pass
            assert refused.value.response.status_code in {429, 503}

    run(work())
    realtime.ended()
    run(work())


def test_where_the_upstream_does_not_say_the_rest_is_resolved(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entrepot.flows.serve_inference.session.CANCELLED_S_MAX", 0.05)

    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=50 stall=4 mute=1")
            for _ in range(5):
                await connection.recv()

    run(work())
    abandoned = realtime.gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("client_left", True, 4)
    assert abandoned.id == realtime.gateway.admitted().id
    realtime.ended()


@pytest.mark.parametrize("how", ["gone", "half"])
def test_an_upstream_that_breaks_in_a_response(realtime: Realtime, how: str) -> None:
    """gone: at once. half: it says no more, and would still listen. Another session beside goes on."""

    async def work() -> None:
        async with talking(realtime) as connection, talking(realtime) as other:
            await answer(connection, "parts=1")
            await create(connection, f"parts=9 {how}=3")
            with pytest.raises(ConnectionClosed) as closed:
                await until_the_end(connection)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1011, "the upstream is gone")
            assert (await answer(other, "parts=5"))[-1]["type"] == "response.done"

    run(work())
    whole, beside = realtime.events(2)
    assert beside.meters["output_tokens"] == 5
    [abandoned] = realtime.gateway.of(Abandoned)
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("upstream_failed", True, 3)
    assert abandoned.id == whole.id.replace(".1", ".2")


def test_a_session_that_says_nothing_costs_nothing(realtime: Realtime) -> None:
    async def work() -> None:
        async with talking(realtime):
            pass

    run(work())
    realtime.ended()
    assert realtime.gateway.sink.records == []


@pytest.mark.parametrize("is_talking", [False, True])
def test_a_gateway_that_stops_ends_sessions_after_their_response(realtime: Realtime, is_talking: bool) -> None:
    gateway = realtime.gateway

    def drain() -> None:
        for connection in list(gateway.api.connections):
            if connection.is_idle:
                connection.close()

    async def work() -> None:
        async with talking(realtime) as connection:
            if is_talking:
                await create(connection, "parts=3 stall=1")
                for _ in range(2):
                    await connection.recv()
                await asyncio.to_thread(gateway.do, drain)
                await connection.send(json.dumps({"type": "response.cancel", "response_id": "resp_0"}))
                assert json.loads(await connection.recv())["type"] == "response.done"
            await asyncio.to_thread(gateway.do, drain)
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001

    run(work())
    realtime.ended()
    assert len(gateway.of(UsageRecorded)) == is_talking
    assert gateway.of(Abandoned) == []


def test_a_gateway_that_must_stop_cuts_them_and_what_was_begun_is_resolved(realtime: Realtime) -> None:
    gateway = realtime.gateway

    def cut() -> None:
        for connection in list(gateway.api.connections):
            connection.cut()

    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=3 stall=2")
            for _ in range(3):
                await connection.recv()
            await asyncio.to_thread(gateway.do, cut)
            with pytest.raises(ConnectionClosed):
                await connection.recv()

    run(work())
    abandoned = gateway.abandoned()
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("gateway_lost", True, 2)


def test_sessions_cut_at_any_frame_are_recorded_as_their_upstream_counted(
    realtime: Realtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equality with the upstream's own books, over sessions that are left or closed after any number of frames."""
    for patience in ("CANCELLED_S_MAX", "SILENT_S_MAX"):  # However slow the machine, the upstream is heard out.
        monkeypatch.setattr(f"entrepot.flows.serve_inference.session.{patience}", 60.0)
    chance = random.Random(7)

    async def session() -> None:
        frames, closes = chance.randrange(0, 40), chance.random() < 0.5
        async with talking(realtime) as connection:
            for _ in range(chance.randrange(1, 4)):
                script = f"parts={chance.randrange(0, 12)} size={chance.choice((5, 300, 70_000))}"
                await create(connection, script + (" pieces=1" if chance.random() < 0.2 else ""))
            await hear(connection, frames)
            if not closes:
                connection.transport.abort()

    async def work() -> None:
        for _ in range(10):
            await asyncio.gather(*(session() for _ in range(6)))

    run(work())
    realtime.ended()
    gateway = realtime.gateway
    recorded: dict[str, list[str]] = {}
    for record in gateway.of(UsageRecorded):
        recorded.setdefault(record.event.id.partition(".")[0], []).append(canonical(json.loads(record.event.raw)))
    served = {key: sorted(map(canonical, held.done)) for key, held in realtime.upstream.sessions.items() if held.done}
    assert {key: sorted(usages) for key, usages in recorded.items()} == served
    assert gateway.of(Abandoned) == []
    admitted = [record.id for record in gateway.of(Admitted)]
    assert len(set(admitted)) == len(admitted) == sum(len(usages) for usages in served.values())


async def hear(connection: ClientConnection, frames: int) -> None:
    """Reads so many messages, or fewer where none comes for a while.

    Nothing that waits is given up: this library loses its place when a `recv` is cancelled as a frame arrives.
    """
    for _ in range(frames):
        waits = asyncio.ensure_future(connection.recv())
        if not (await asyncio.wait({waits}, timeout=0.2))[0]:
            waits.add_done_callback(asyncio.Task.exception)  # It ends with the connection.
            return
        waits.result()


def canonical(usage: dict[str, Any]) -> str:
    return json.dumps(usage, sort_keys=True)
