"""What realtime sessions take of limits, and what they are told when there is nothing left."""

import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entrepot.core.capacity import Limit, Refill, ServedLimit
from entrepot.core.periods import MINUTE
from tests.support.gateway import KEY, deployment, eventually, target
from tests.support.realtime import METERS, Realtime, answer, run, talking

AGES = 100 * 365 * 24 * 60 * MINUTE
USED = sum(METERS.values())


def serve(realtime: Realtime, *limits: ServedLimit) -> None:
    talk = deployment("talk", target(realtime.upstream.base_url), operations=("realtime",), limits=limits)
    realtime.gateway.serve(talk)


def limit(name: str, units: int, refill: Refill = "window") -> ServedLimit:
    counted = Limit(
        name, "requests" if name == "sessions" else "tokens", refill, units, AGES if refill == "window" else 0
    )
    return ServedLimit(counted, name, "talk")


def left(realtime: Realtime, served: ServedLimit) -> int:
    allotment = realtime.gateway.flow.desk._allotments._by_id[served.limit.id]
    return allotment.left + allotment.free


def test_a_session_is_a_request_and_its_responses_are_tokens(realtime: Realtime) -> None:
    sessions, tokens = limit("sessions", 10), limit("tokens", 10_000)
    serve(realtime, sessions, tokens)

    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection)
            await answer(connection)

    run(work())
    realtime.events(2)
    assert (left(realtime, sessions), left(realtime, tokens)) == (9, 10_000 - 2 * USED)


def test_without_room_none_begins(realtime: Realtime) -> None:
    serve(realtime, limit("sessions", 1))

    async def work() -> None:
        async with talking(realtime):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(realtime.url, additional_headers={"Authorization": f"Bearer {KEY}"}):
                    pass
            assert refused.value.response.status_code == 429
            assert json.loads(refused.value.response.body or b"")["error"]["entrepot"]["limit"] == "sessions"

    run(work())


def test_one_whose_upstream_does_not_take_it_takes_nothing(realtime: Realtime) -> None:
    sessions = limit("sessions", 10)
    serve(realtime, sessions)
    realtime.upstream.refuse = 404

    async def work() -> None:
        with pytest.raises(InvalidStatus):
            async with talking(realtime):
                pass

    run(work())
    eventually(lambda: left(realtime, sessions) == 10)


def test_a_session_ends_when_its_budget_is_spent(realtime: Realtime) -> None:
    budget = limit("tokens in all", USED + 1, "budget")
    serve(realtime, budget)
    spent = [USED, 2 * USED]  # What the books say when a response is done.
    realtime.gateway.flow.desk.spent = lambda counter: spent.pop(0) if counter == budget.limit.id else 0

    async def work() -> None:
        async with talking(realtime) as connection:
            await answer(connection)
            assert (await answer(connection))[-1]["type"] == "response.done"
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the budget is spent")

    run(work())
    realtime.events(2)
    realtime.ended()
