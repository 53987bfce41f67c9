"""What realtime sessions take of limits, and what they are told when there is nothing left."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from entrepot.core.budgets import Budget
from entrepot.core.capacity import Limit, Refill, ServedLimit
from entrepot.core.catalog import Model
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import MINUTE
from entrepot.core.prices import Price
from entrepot.core.tenancy import Customer
from tests.support.budgets import OUTPUT_PICO, Weighing
from tests.support.gateway import KEY, deployment, eventually, target
from tests.support.realtime import METERS, Realtime, answer, create, run, running_realtime, talking, until_the_end

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


CONTEXT = 1_000
WORTH = CONTEXT * OUTPUT_PICO  # What is held for a response,
EACH = 6 * OUTPUT_PICO  # and what one of three parts costs: each is a token of text and one of sound.
PRICES = (
    Price("m", "input_tokens", "default", 0),
    Price("m", "output_tokens", "default", OUTPUT_PICO),
    Price("m", "audio_input_tokens", "default", 0),
    Price("m", "audio_output_tokens", "default", OUTPUT_PICO),
)


@pytest.fixture
def budgeted() -> Iterator[tuple[Realtime, Weighing]]:
    """A gateway whose realtime model has prices, and the books that weigh its budgets."""
    weighing = Weighing()
    with running_realtime(weighing.counters) as made:
        weighing.gateway = made.gateway
        yield made, weighing


def declare(realtime: Realtime, weighing: Weighing, units: int) -> None:
    """The customer has so much in all; its deployment is `chat`."""
    model = Model("m", "1", "own", CONTEXT, "general", ("realtime",))
    customer = Customer("acme", "Acme", budget=Budget(units, kind="total"))
    weighing.serve(realtime.gateway, customer, prices=PRICES, model=model, base_url=realtime.upstream.base_url)
    realtime.deployment = "chat"


COUNTER = "customer/acme/total/money"


async def talked(realtime: Realtime, script: str = "") -> tuple[int, dict[str, Any]]:
    """How many responses a session got until it was ended, and the error that said why; none where it never began."""
    events: list[dict[str, Any]] = []
    try:
        async with talking(realtime) as connection:
            with suppress(ConnectionClosed):
                await create(connection, script)
                while True:
                    events.append(json.loads(await connection.recv()))
                    if events[-1]["type"] == "response.done":
                        with suppress(ConnectionClosed):  # What it said before is still to be heard.
                            await create(connection, script)
            assert (connection.close_code, connection.close_reason) == (1008, "budget_exceeded")
    except InvalidStatus as refused:
        return 0, dict(json.loads(refused.response.body or b"")["error"])
    assert events[-1]["type"] == "error"
    return sum(event["type"] == "response.done" for event in events), events[-1]["error"]


def test_a_session_gives_what_its_budget_has_room_for_and_says_why_it_ends(
    budgeted: tuple[Realtime, Weighing],
) -> None:
    """A response is held at its whole context, so one ends before what is left is less than that."""
    realtime, weighing = budgeted
    declare(realtime, weighing, WORTH + 9 * EACH)

    async def work() -> None:
        count, said = await talked(realtime)
        assert count == 10
        assert (said["code"], said["type"]) == ("insufficient_quota", "insufficient_quota")
        assert said["entrepot"]["limit"] == "the total budget"
        assert "does not suffice" in said["message"]

    run(work())
    realtime.events(10)
    assert weighing.weigh()[COUNTER].spent == 10 * EACH == weighing.used(COUNTER)
    assert {record.holds for record in realtime.gateway.of(Admitted)} == {((COUNTER, WORTH),)}
    realtime.ended()


def test_many_sessions_at_once_never_exceed_a_budget(budgeted: tuple[Realtime, Weighing]) -> None:
    """All of them talk until nothing has room for a response; what they held is never more than there is."""
    realtime, weighing = budgeted
    units = 5 * WORTH
    declare(realtime, weighing, units)
    parts = 100
    peaks: list[int] = []

    async def work() -> None:
        watching = asyncio.create_task(watch())
        ends = await asyncio.gather(*(talked(realtime, f"parts={parts}") for _ in range(20)))
        watching.cancel()
        assert {said["code"] for _, said in ends} == {"insufficient_quota"}
        assert sum(given for given, _ in ends) * 2 * parts * OUTPUT_PICO > units - 2 * WORTH

    async def watch() -> None:
        while True:
            kept = weighing.place._kept.get(COUNTER)
            peaks.append(0 if kept is None else kept.counter.state[0])
            await asyncio.sleep(0.002)

    run(work())
    realtime.ended()
    spent = weighing.weigh()[COUNTER].spent
    print(f"20 sessions: {spent} of {units} pico spent, at most {max(peaks)} held and spent")
    assert spent <= max(peaks) <= units
    assert weighing.used(COUNTER) == spent


def test_without_room_for_a_response_no_session_begins(budgeted: tuple[Realtime, Weighing]) -> None:
    realtime, weighing = budgeted
    declare(realtime, weighing, WORTH - 1)

    async def work() -> None:
        with pytest.raises(InvalidStatus) as refused:
            async with talking(realtime):
                pass
        error = json.loads(refused.value.response.body or b"")["error"]
        assert (refused.value.response.status_code, error["code"]) == (429, "insufficient_quota")
        assert error["entrepot"]["can_ever_fit"] is False

    run(work())


def test_what_a_session_holds_is_free_when_it_ends(budgeted: tuple[Realtime, Weighing]) -> None:
    """One client leaves between responses, one while a response is given, one before anything was said."""
    realtime, weighing = budgeted
    declare(realtime, weighing, 10 * WORTH)

    async def work() -> None:
        async with talking(realtime):
            pass
        async with talking(realtime) as connection:
            await answer(connection)
        async with talking(realtime) as connection:
            await create(connection, "parts=5 stall=2")
            assert json.loads(await connection.recv())["type"] == "response.created"

    run(work())
    realtime.ended()
    eventually(lambda: len(realtime.gateway.of(UsageRecorded)) == 2)
    assert weighing.used(COUNTER) == weighing.weigh()[COUNTER].spent


def test_what_is_not_settled_stays_held(budgeted: tuple[Realtime, Weighing]) -> None:
    realtime, weighing = budgeted
    declare(realtime, weighing, 10 * WORTH)

    async def work() -> None:
        async with talking(realtime) as connection:
            await create(connection, "parts=5 gone=2")
            with pytest.raises(ConnectionClosed):
                await until_the_end(connection)

    run(work())
    realtime.ended()
    assert weighing.used(COUNTER) == WORTH
    standing = weighing.weigh()[COUNTER]
    assert (standing.spent, standing.held_units) == (0, WORTH)
