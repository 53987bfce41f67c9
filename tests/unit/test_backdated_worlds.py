"""Worlds that change what was, or take back what they said: units are counted again, and nothing is charged twice."""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

import msgspec
import pytest

from entrepot.core.log_records import LogRecord, Marked, MonthClosed
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, Instant
from entrepot.core.prices import Price
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.subscriptions import SeatsFrom, Subscription
from entrepot.core.tenancy import Contract, Deployment, Project
from entrepot.core.terms import Commitment, Credit, Minimum, Reservation
from entrepot.core.world import World
from entrepot.flows.compare_books import check
from entrepot.ports.books import Books
from tests.support.billing import APRIL, MARCH, applied, contract, folded, prices, version, world

HOURLY = Price("m", "provisioned_unit_hours", "default", PICO)
MARK = Marked(at=MARCH + 20 * HOUR)
CLOSES = [MonthClosed(at=APRIL + DAY, period="2024-03"), MonthClosed(at=APRIL + 40 * DAY, period="2024-04")]
RESERVED = Reservation("reservation-1", 50, PICO // 2, MARCH, MARCH + 8 * HOUR)
OTHER = contract("beta", id="beta")  # With units, so that minutes are counted in any case.


def declared(
    *contracts: Contract,
    rows: Sequence[Price] = (HOURLY,),
    later: Sequence[Price] = (),
    ends: Instant = MARCH + 10 * HOUR,
) -> World:
    """A hundred units of acme for ten hours, fifteen of beta."""
    hours = {"acme": ("search", 100), "beta": ("works", 15)}
    return world(
        version(rows),
        *([version(later, "2024-03-02")] if later else []),
        contracts=(*contracts, OTHER),
        customers=tuple(hours),
        projects=[Project(project, customer) for customer, (project, _) in hours.items()],
        deployments=[
            Deployment("d", project, "m", "provisioned", units=(UnitsFrom(MARCH, units), UnitsFrom(ends, 0)))
            for project, units in hours.values()
        ],
    )


def at(hours: int) -> Instant:
    return MARCH + hours * HOUR


PLAIN = declared(contract("acme"))
CHANGES = {
    "a contract where there was none": (declared(), PLAIN),
    "a contract that begins earlier": (declared(contract("acme", id="acme@late", effective_from=at(5))), PLAIN),
    "a contract that begins later": (PLAIN, declared(contract("acme", id="acme@late", effective_from=at(5)))),
    "a contract that ends later": (declared(contract("acme", effective_to=at(4))), PLAIN),
    "a contract that ended earlier": (PLAIN, declared(contract("acme", effective_to=at(4)), ends=at(4))),
    "a contract in between": (
        PLAIN,
        declared(contract("acme", effective_to=at(4)), contract("acme", id="acme@late", effective_from=at(4))),
    ),
    "a reservation": (PLAIN, declared(contract("acme", terms=(RESERVED,)))),
    "a reservation that ended earlier": (
        declared(contract("acme", terms=(RESERVED,))),
        declared(contract("acme", terms=(msgspec.structs.replace(RESERVED, ends=at(3)),))),
    ),
    "a reservation of more units for one model": (
        declared(contract("acme", terms=(RESERVED,))),
        declared(contract("acme", terms=(msgspec.structs.replace(RESERVED, units=70, models=("m",)),))),
    ),
    "a reservation that is gone": (declared(contract("acme", terms=(RESERVED,))), PLAIN),
    "a price where there was none": (declared(contract("acme"), rows=prices(("m", "input_tokens", "1"))), PLAIN),
    "a version that begins earlier": (
        declared(contract("acme"), later=(msgspec.structs.replace(HOURLY, unit_pico=3 * PICO),)),
        msgspec.structs.replace(
            PLAIN,
            price_books=(
                *PLAIN.price_books,
                version((msgspec.structs.replace(HOURLY, unit_pico=3 * PICO),), "2024-03-01T03:00:00Z"),
            ),
        ),
    ),
}  # fmt: skip


def sums(books: Books) -> dict[tuple[str, ...], Fraction]:
    """{(contract, month, what): what it came to over all invoices}, without the zeros; the books hold together."""
    assert list(check(books)) == []
    assert [closing.refused for closing in books.closings() if closing.refused] == []
    assert not [account for account, _ in books.balances() if account.startswith("assets:receivable:accrued:")]
    found: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
    for invoice in books.invoices():
        for line in invoice.lines:
            kind = "usage" if line.kind == "adjustment" else line.kind
            found[invoice.contract, line.period, kind, line.price_class] += Fraction(line.exact)
    return {key: amount for key, amount in found.items() if amount}


@pytest.mark.parametrize("change", CHANGES)
def test_counted_minutes_are_counted_again(change: str) -> None:
    before, after = CHANGES[change]
    late = folded(applied(before), MARK, applied(after, MARK.at), *CLOSES)
    assert sums(late) == sums(folded(applied(after), *CLOSES)) != {}


WAITED_FOR = ("a price where there was none", "a contract that ends later")  # Without them the month is not closed.


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in WAITED_FOR])
def test_what_is_invoiced_is_corrected_on_its_own_month_by_the_next_invoice(change: str) -> None:
    before, after = CHANGES[change]
    records: list[LogRecord] = [applied(before), CLOSES[0], applied(after, APRIL + 2 * DAY)]
    issued = folded(*records).invoices()
    books = folded(*records, CLOSES[1])
    assert sums(books) == sums(folded(applied(after), *CLOSES))
    assert books.invoices()[: len(issued)] == issued
    corrections = [line for invoice in books.invoices()[len(issued) :] for line in invoice.lines]
    assert corrections
    assert {line.period for line in corrections} == {"2024-03"}


def test_a_reservation_that_comes_late_gives_back_what_it_covers() -> None:
    before, after = CHANGES["a reservation"]
    books = folded(applied(before), CLOSES[0], applied(after, APRIL + 2 * DAY), CLOSES[1])
    lines = [line for line in books.invoices("2024-04")[0].lines if line.amount != "0.00"]
    assert [(line.kind, line.period, line.quantity, line.amount) for line in lines] == [
        ("adjustment", "2024-03", "-400", "-400.00"),
        ("reservation", "2024-03", "400", "200.00"),
    ]


def test_a_month_with_units_without_a_price_waits_for_it() -> None:
    before, after = CHANGES["a price where there was none"]
    books = folded(applied(before), CLOSES[0], applied(after, APRIL + 2 * DAY))
    assert "no price" in books.closings()[0].refused
    assert books.invoices() == []


def test_a_version_that_was_taken_back_prices_nothing() -> None:
    dearer = declared(contract("acme"), later=(msgspec.structs.replace(HOURLY, unit_pico=9 * PICO),))
    lasting = msgspec.structs.replace(
        PLAIN.deployments[0], units=(UnitsFrom(MARCH, 100), UnitsFrom(MARCH + 2 * DAY, 0))
    )
    one, other = (
        msgspec.structs.replace(item, deployments=(lasting, *item.deployments[1:])) for item in (dearer, PLAIN)
    )
    assert sums(folded(applied(one), applied(other, 1), *CLOSES)) == sums(folded(applied(other), *CLOSES))


def test_minutes_that_change_only_the_version_they_are_counted_under_are_invoiced_with_it() -> None:
    """They come to nothing together, and would else wait for an invoice for ever, moving the pools at each close."""
    same = msgspec.structs.replace(PLAIN, price_books=(*PLAIN.price_books, version((HOURLY,), "2024-03-01T03:07:00Z")))
    books = folded(applied(PLAIN), CLOSES[0], applied(same, APRIL + DAY), CLOSES[1])
    assert sums(books) == sums(folded(applied(PLAIN), *CLOSES))
    assert books.uninvoiced_since() == {}


def test_a_price_of_a_geography_that_was_taken_back_prices_nothing() -> None:
    regional = msgspec.structs.replace(PLAIN.deployments[0], geography="regional")
    plain = msgspec.structs.replace(PLAIN, deployments=(regional, *PLAIN.deployments[1:]))
    dearer = msgspec.structs.replace(HOURLY, unit_pico=9 * PICO, price_class="regional")
    wrong = msgspec.structs.replace(plain, price_books=(version((HOURLY, dearer)),))
    assert sums(folded(applied(wrong), applied(plain, 1), *CLOSES)) == sums(folded(applied(plain), *CLOSES))


CHARGING = (
    Minimum(1000 * PICO),
    Commitment(700 * PICO, MARCH, APRIL),
    Commitment(600 * PICO, APRIL, APRIL + 30 * DAY, prepaid=False),
    Credit("credit-1", 300 * PICO, MARCH, APRIL),
)


def test_a_contract_that_was_taken_back_charges_nothing() -> None:
    wrong = declared(contract("acme", id="acme@wrong", effective_from=at(5), terms=CHARGING))
    books = folded(applied(wrong), applied(PLAIN, 1), *CLOSES)
    assert sums(books) == sums(folded(applied(PLAIN), *CLOSES))


@pytest.mark.parametrize("again", [[], CLOSES[:1]])
def test_a_minimum_is_owed_for_months_that_were_closed_before_its_contract_was_declared(
    again: Sequence[LogRecord],
) -> None:
    """Once each, also where the first of them is closed again; not for months that nobody closed."""
    before, later = MonthClosed(at=MARCH + DAY, period="2024-02"), MonthClosed(at=APRIL + 70 * DAY, period="2024-05")
    told = declared(contract("acme", effective_from=MARCH - 10 * DAY, terms=(Minimum(290 * PICO),)), ends=at(0))
    books = folded(applied(declared()), before, CLOSES[0], applied(told, APRIL + 2 * DAY), *again, CLOSES[1], later)
    lines = [(line.period, line.amount) for one in books.invoices() for line in one.lines if line.kind == "minimum"]
    assert lines == [("2024-02", "100.00"), ("2024-03", "290.00"), ("2024-04", "290.00"), ("2024-05", "290.00")]


def test_a_contract_that_was_taken_back_needs_no_rate() -> None:
    wrong = declared(contract("acme", id="acme@wrong", currency="EUR", price_currency="USD"))
    assert sums(folded(applied(wrong), applied(PLAIN, 1), *CLOSES))


def test_seats_that_were_taken_back_before_they_began_are_never_charged() -> None:
    seats = Subscription("s", "acme", "desk", PICO, MARCH, END_OF_TIME, 12, 1, (SeatsFrom(MARCH, 5),))
    promised = msgspec.structs.replace(PLAIN, subscriptions=(seats,))
    for taken_back, wanted in ((MARCH - 1, False), (MARCH, True)):
        found = sums(folded(applied(promised), applied(PLAIN, taken_back), *CLOSES))
        assert (("acme@2024-01-01", "2024-03", "subscription", "") in found) == wanted
