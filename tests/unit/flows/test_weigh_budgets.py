"""What the books know of budgets: spent as the ledger accrues, held and counted as gateways say."""

import msgspec
import pytest

from entrepot.core.budgets import Budget, Standing, TopUp
from entrepot.core.log_records import Abandoned, InstanceBegan, InstanceLost, LogRecord, Marked, UsageRecorded
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, HOUR, MINUTE
from entrepot.core.prices import Price, Step
from entrepot.core.tenancy import Customer, Project
from entrepot.core.world import World, WorldIndex
from entrepot.flows.weigh_budgets import Scales, weigh_budgets
from entrepot.ports.books import Books
from tests.support.billing import (
    APRIL,
    MARCH,
    admitted,
    applied,
    contract,
    folded,
    prices,
    recorded,
    usage,
    version,
    world,
)
from tests.support.budgets import KeptStandings

FLAT = version(prices(("m", "input_tokens", "2"), ("m", "output_tokens", "8")))
PICO = 2_000_000  # A token of input.
MONTHLY = Budget(parse_pico("100"))
ACME = "customer/acme/monthly/money/2024-03"
SEARCH = "project/search/monthly/money/2024-03"


def declared(
    customer: Budget | None = MONTHLY,
    project: Budget | None = None,
    top_ups: tuple[TopUp, ...] = (),
    zone: str = "UTC",
    rows: tuple[Price, ...] = FLAT.prices,
) -> World:
    made = world(
        version(rows), contracts=[contract("acme", zone=zone)], projects=[Project("search", "acme", budget=project)]
    )
    return msgspec.structs.replace(made, customers=(Customer("acme", "Acme", budget=customer, prepaid=top_ups),))


def standings(books: Books, at: int = MARCH + DAY) -> dict[str, Standing]:
    found = books.world()
    assert found is not None
    return {item.limit.id: item for item in weigh_budgets(books, WorldIndex(found[1]), at).budgets}


def test_what_is_spent_is_what_the_ledger_accrues() -> None:
    """Given a month of usage, cached input without a price of its own too, a budget has spent what was posted."""
    events = [
        usage(
            f"e{n}",
            MARCH + n * MINUTE * 37,
            meters={"input_tokens": 7 * n, "cached_input_tokens": n, "output_tokens": n},
        )
        for n in range(50)
    ]
    books = folded(applied(declared()), *recorded(*events), Marked(at=APRIL + HOUR))
    accrued = max(books.balances().values())
    assert standings(books)[ACME].spent == accrued > 0


def test_usage_counts_in_the_month_of_the_contracts_zone() -> None:
    """Berlin is an hour ahead: the last hour of February in UTC is March there."""
    events = [
        usage("a", MARCH - HOUR),
        usage("b", MARCH - HOUR - 1),
        usage("c", "2024-03-31T21:59:59Z"),
        usage("d", "2024-03-31T22:00:00Z"),
    ]
    books = folded(applied(declared(zone="Europe/Berlin")), *recorded(*events))
    found = standings(books)
    assert {name: item.spent for name, item in found.items()} == {
        "customer/acme/monthly/money/2024-02": 10 * PICO,
        ACME: 20 * PICO,
        "customer/acme/monthly/money/2024-04": 10 * PICO,
    }


def test_a_project_and_a_key_count_their_own() -> None:
    tokens = Budget(1000, "tokens", "total")
    books = folded(
        applied(declared(project=tokens)),
        *recorded(usage("a"), usage("b", project="other"), usage("c", key="key-1"), usage("d", key="key-2")),
    )
    assert standings(books)["project/search/total/tokens"].spent == 30
    assert standings(books)[ACME].spent == 40 * PICO


def test_a_prepaid_balance_counts_from_the_month_of_its_first_payment() -> None:
    paid = (TopUp(MARCH + DAY, parse_pico("5")), TopUp(MARCH + 3 * DAY, parse_pico("7")))
    books = folded(
        applied(declared(None, top_ups=paid)), *recorded(usage("a", "2024-02-28"), usage("b"), usage("c", "2024-05-01"))
    )
    balance = "customer/acme/prepaid/money"
    assert [standings(books, MARCH + days * DAY)[balance].limit.units for days in (0, 1, 2, 3)] == [
        0,
        parse_pico("5"),
        parse_pico("5"),
        parse_pico("12"),
    ]
    assert standings(books)[balance].spent == 20 * PICO


@pytest.mark.parametrize("mode", ["graduated", "volume"])
def test_at_prices_by_quantity_parts_sum_to_the_month(mode: str) -> None:
    """The customer has spent what the month costs; its projects their parts of it, rounded up."""
    steps = (Step(15, 9 * PICO), Step(None, PICO))
    rows = (Price("m", "input_tokens", "default", 0, mode=mode, steps=steps), Price("m", "output_tokens", "default", 1))  # type: ignore[arg-type]
    books = folded(
        applied(declared(project=MONTHLY, rows=rows)),
        *recorded(
            usage("a"), usage("b", meters={"input_tokens": 13}), usage("c", project="other", meters={"input_tokens": 7})
        ),
    )
    whole = 15 * 9 * PICO + 15 * PICO if mode == "graduated" else 30 * PICO
    found = standings(books)
    assert found[ACME].spent == whole
    assert found[SEARCH].spent == -(-whole * 23 // 30)


def held(event_id: str, units: int, instance: str = "one") -> LogRecord:
    return admitted(event_id, MARCH, instance, holds=((ACME, units),))


def over(event_id: str, counted: int, instance: str = "one", source: str = "reported") -> LogRecord:
    return UsageRecorded(usage(event_id, source=source), instance, ((ACME, counted),))


LIFE: list[LogRecord] = [
    InstanceBegan("one", MARCH),
    held("a", 50 * PICO),
    held("b", 60 * PICO),
    held("c", 70 * PICO),
    over("a", 12 * PICO),
    over("a", 12 * PICO),
    Abandoned("b", MARCH, "client_left", True, 3),
    over("b", 60 * PICO, source="estimated"),
    *recorded(usage("imported")),
]
RESOLVED = over("c", 70 * PICO, source="estimated")


def test_what_no_counter_of_a_gateway_knows_is_its_base() -> None:
    """A repeat, a request resolved after it was abandoned, an import: the gateway's own and the base add up."""
    found = standings(folded(applied(declared()), *LIFE))[ACME]
    assert found.spent == 30 * PICO
    assert (found.held, found.counted) == ({"one": 70 * PICO}, {"one": 72 * PICO})
    own = 70 * PICO + 12 * PICO + 60 * PICO  # Its counters: c is open, a settled, b keeps what it held.
    assert own + found.weight.base("one") == 30 * PICO + 70 * PICO
    assert found.weight.base("another") == 30 * PICO + 70 * PICO


def test_a_lost_gateway_leaves_what_it_held_and_nothing_else() -> None:
    books = folded(applied(declared()), *LIFE, InstanceLost("one", MARCH + 1), InstanceBegan("two", MARCH + 2))
    found = standings(books)[ACME]
    assert (found.held, found.counted) == ({"one": 70 * PICO}, {})
    assert found.weight.base("two") == 100 * PICO
    assert weigh_budgets(books, None, MARCH).instances == ("two",)
    more = folded(applied(declared()), *LIFE, InstanceLost("one", MARCH + 1), RESOLVED)
    assert (standings(more)[ACME].held, standings(more)[ACME].counted, standings(more)[ACME].spent) == (
        {},
        {},
        40 * PICO,
    )


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 1000])
def test_the_cut_of_the_log_does_not_matter(batch: int) -> None:
    records = [
        applied(declared()),
        *LIFE,
        InstanceLost("one", MARCH + 1),
        over("c", 70 * PICO, source="estimated"),
        *LIFE[1:],
    ]
    assert folded(*records, batch=batch).digest() == folded(*records, batch=4).digest()


class Clock:
    def __init__(self) -> None:
        self.at = MARCH

    def now(self) -> int:
        return self.at


def test_standings_are_published_when_something_is_new() -> None:
    kept, clock = KeptStandings(), Clock()
    books = folded(applied(declared()))
    scales = Scales(books, kept, clock)
    for _ in range(3):
        scales.weigh(None, clock.at)
    assert len(kept.published) == 1
    clock.at += MINUTE
    scales.weigh(None, clock.at)
    assert len(kept.published) == 2
