"""The close of a month, step by step: what is charged first, what it waits for, where a piece of it ends."""

from collections.abc import Sequence

import msgspec
import pytest

from entrepot.core.errors import PeriodNotClosable
from entrepot.core.exchange import ExchangeRate
from entrepot.core.log_records import Marked, MonthClosed
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, Instant, Period, parse_instant, parse_period
from entrepot.core.prices import Price
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.subscriptions import SeatsFrom, Subscription
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.terms import Commitment, Credit, Term
from entrepot.core.world import World, WorldIndex, index_of, installed_after
from entrepot.flows.close_month import check_closable, check_order, close_month, first_charge
from entrepot.ports.books import Books
from tests.support.billing import APRIL, MARCH, applied, contract, folded, prices, recorded, usage, version, world

VERSION = version(prices(("m", "input_tokens", "1000000")))
PERIOD = Period(2024, 3)
FEBRUARY, JANUARY = parse_instant("2024-02-01"), parse_instant("2024-01-01")
DESK = Subscription("desk", "acme", "desk", PICO, APRIL, END_OF_TIME, 12, 1, (SeatsFrom(APRIL, 3),))


def with_units(begins: Instant) -> World:
    made = world(
        VERSION,
        projects=[Project("search", "acme")],
        deployments=[Deployment("d", "search", "m", "provisioned", units=(UnitsFrom(begins, 15),))],
    )
    return msgspec.structs.replace(made, subscriptions=(DESK,))


def test_the_first_charge_is_the_earliest_of_seats_units_and_credit() -> None:
    credit = Credit("credit-1", PICO, JANUARY, END_OF_TIME)
    late = contract("acme", effective_from=MARCH, terms=(credit,))
    assert first_charge(WorldIndex(world(VERSION))) is None
    for units, first in ((FEBRUARY, FEBRUARY), (APRIL + DAY, APRIL)):
        made = with_units(units)
        assert first_charge(WorldIndex(made, installed_after({}, 0, made))) == first
    assert first_charge(WorldIndex(world(VERSION, contracts=[late]))) == MARCH


CUSTOMERS = ("a", "b", "c", "d")


def four_contracts() -> Books:
    """Of which the first one has two readings, and the others none."""
    events = recorded(usage("1", MARCH, customer="a"), usage("2", MARCH + HOUR, customer="a"))
    return folded(applied(world(VERSION, customers=CUSTOMERS)), *events, Marked(at=APRIL))


@pytest.mark.parametrize(
    ("after", "piece", "through"),
    [
        ("", 1, "a"),
        ("", 3, "a"),
        ("", 4, "b"),
        ("", 5, "c"),
        ("", 6, None),
        ("", 99, None),
        ("a@2024-01-01", 1, "b"),
        ("a@2024-01-01", 2, "c"),
        ("b@2024-01-01", 2, None),
        ("c@2024-01-01", 1, None),
    ],
)
def test_a_piece_ends_with_a_contract_and_one_without_readings_counts_as_one(
    after: str, piece: int, through: str | None
) -> None:
    books = four_contracts()
    terms = index_of(books.worlds())
    assert terms is not None
    with books.transaction():
        reached = close_month(books, terms, APRIL, PERIOD, after, piece)
    assert reached == (through and f"{through}@2024-01-01")


def abroad(*terms: Term, rate: str, events: Sequence[Instant] = (), **changes: object) -> Books:
    """Books of a contract in another currency, and of a rate since a date."""
    agreed = contract("acme", currency="EUR", price_currency="USD", terms=terms, **changes)
    declared = msgspec.structs.replace(
        world(VERSION, contracts=[agreed]), exchange_rates=(ExchangeRate("USD", "EUR", parse_instant(rate), PICO),)
    )
    return folded(applied(declared), *recorded(*(usage(str(at), at) for at in events)))


def waits_for(books: Books) -> str:
    """The month at whose end a close of March misses a rate."""
    with pytest.raises(PeriodNotClosable) as told:
        check_closable(books, index_of(books.worlds()), APRIL + DAY, "2024-03")
    return told.value.message.rpartition("at the end of ")[2][:7]


def closes(books: Books) -> bool:
    return check_closable(books, index_of(books.worlds()), APRIL + DAY, "2024-03") == PERIOD


def test_a_close_waits_for_the_rate_of_the_earliest_month_that_a_line_may_be_of() -> None:
    prepaid = Commitment(PICO, JANUARY, END_OF_TIME)
    arrears = Commitment(PICO, parse_instant("2023-11-01"), FEBRUARY, prepaid=False)
    assert waits_for(abroad(prepaid, rate="2024-02-10")) == "2024-01"
    assert waits_for(abroad(arrears, rate="2024-02-10")) == "2024-01"
    assert waits_for(abroad(rate="2024-03-10", events=[FEBRUARY])) == "2024-02"
    assert waits_for(abroad(rate="2024-04-01")) == "2024-03"
    assert closes(abroad(prepaid, rate="2024-01-10"))
    assert closes(abroad(arrears, rate="2024-01-10"))
    assert closes(abroad(rate="2024-03-10"))


@pytest.mark.parametrize(("used", "units"), [(FEBRUARY, MARCH), (MARCH, FEBRUARY)])
def test_a_close_waits_for_the_rate_of_usage_or_units_whichever_is_older(used: Instant, units: Instant) -> None:
    agreed = contract("acme", currency="EUR", price_currency="USD")
    hourly = Price("m", "provisioned_unit_hours", "default", PICO)
    made = msgspec.structs.replace(
        with_units(units),
        contracts=(agreed,),
        price_books=(version((*VERSION.prices, hourly)),),
        exchange_rates=(ExchangeRate("USD", "EUR", parse_instant("2024-03-10"), PICO),),
    )
    assert waits_for(folded(applied(made), *recorded(usage("a", used)))) == "2024-02"


def test_a_contract_abroad_that_was_taken_back_needs_a_rate_only_for_its_usage() -> None:
    """A contract is taken back by ending where it begins."""
    books = abroad(rate="2024-04-01", effective_from=MARCH, effective_to=MARCH)
    assert closes(books)
    used = abroad(rate="2024-04-01", events=[MARCH])
    taken_back = contract("acme", currency="EUR", price_currency="USD", effective_from=MARCH, effective_to=MARCH)
    terms = WorldIndex(world(VERSION, contracts=[taken_back]))
    with pytest.raises(PeriodNotClosable, match="2024-03"):
        check_closable(used, terms, APRIL + DAY, "2024-03")


def test_the_earliest_month_that_was_left_open_is_named() -> None:
    events = recorded(usage("a", FEBRUARY + DAY, customer="a"), usage("b", JANUARY + DAY, customer="b"))
    books = folded(applied(world(VERSION, customers=CUSTOMERS)), *events)
    terms = index_of(books.worlds())
    assert terms is not None
    with pytest.raises(PeriodNotClosable, match="2024-01 is not closed yet"):
        check_order(books, terms, PERIOD)
    check_order(books, terms, parse_period("2024-01"))


MAY = parse_instant("2024-05-01")
CLOSES = (MonthClosed(at=APRIL + DAY, period="2024-03"), MonthClosed(at=MAY + DAY, period="2024-04"))


@pytest.mark.parametrize(
    ("term", "closes", "kept"),
    [
        (Commitment(12 * PICO, MARCH, APRIL), 1, {"income:shortfalls": -2}),
        (Commitment(12 * PICO, MARCH, APRIL), 2, {"income:shortfalls": -2}),
        (Commitment(12 * PICO, MARCH, MAY), 1, {"liabilities:commitment:acme": -2}),
        (Commitment(12 * PICO, MARCH, MAY), 2, {"income:shortfalls": -2}),
        (Commitment(12 * PICO, MARCH, APRIL, prepaid=False), 2, {"income:shortfalls": -2}),
        (Credit("credit-1", 17 * PICO, MARCH, APRIL), 1, {"income:breakage": -7}),
        (Credit("credit-1", 17 * PICO, MARCH, APRIL), 2, {"income:breakage": -7}),
        (Credit("credit-1", 17 * PICO, MARCH, MAY), 1, {"liabilities:credit:acme": -7}),
        (Credit("credit-1", 17 * PICO, MARCH, MAY), 2, {"income:breakage": -7}),
        (Credit("credit-1", 17 * PICO, MARCH, APRIL, granted=True), 2, {"income:grants": 10}),
    ],
)
def test_what_nobody_used_is_earned_when_its_last_month_is_closed_and_owed_until_then(
    term: Term, closes: int, kept: dict[str, int]
) -> None:
    """Ten dollars were used in March."""
    declared = world(VERSION, contracts=[contract("acme", terms=(term,))])
    books = folded(applied(declared), *recorded(usage("a")), *CLOSES[:closes])
    balances = {account: amount // PICO for (account, _), amount in books.balances().items()}
    assert balances.pop("income:usage:m") == -10
    assert balances.pop("assets:receivable:invoiced:acme", 0) == 10 - sum(kept.values())
    assert balances == kept


@pytest.mark.parametrize(
    "term",
    [
        Commitment(17 * PICO, MARCH, APRIL),
        Commitment(17 * PICO, MARCH, APRIL, prepaid=False),
        Credit("credit-1", 17 * PICO, MARCH, APRIL),
    ],
)
@pytest.mark.parametrize(("late", "kept"), [(4, 3), (7, 0), (10, 0)])
def test_late_usage_takes_back_what_was_earned_of_what_nobody_had_used(term: Term, late: int, kept: int) -> None:
    declared = world(VERSION, contracts=[contract("acme", terms=(term,))])
    more = recorded(usage("b", meters={"input_tokens": late}))
    books = folded(applied(declared), *recorded(usage("a")), CLOSES[0], *more, CLOSES[1])
    balances = {account: amount // PICO for (account, _), amount in books.balances().items()}
    assert balances.pop("income:usage:m") == -10 - late
    assert balances.pop("assets:receivable:invoiced:acme") == max(17, 10 + late)
    assert sum(balances.values()) == -kept
    assert all(account.startswith("income:") for account in balances)


def test_what_is_used_as_the_term_ends_is_beyond_it() -> None:
    declared = world(VERSION, contracts=[contract("acme", terms=(Commitment(12 * PICO, MARCH, APRIL),))])
    books = folded(applied(declared), *recorded(usage("a"), usage("b", APRIL)), *CLOSES)
    assert [
        [(line.kind, line.period, line.amount) for line in invoice.lines if line.amount != "0.00"]
        for invoice in books.invoices()
    ] == [
        [("usage", "2024-03", "10.00"), ("commitment", "2024-03", "-10.00"), ("purchase", "2024-03", "12.00")],
        [("usage", "2024-04", "10.00")],
    ]
