"""What closed months are worked out from stays what it is; behind them it may end and be another."""

import msgspec
import pytest

from entrepot.core.agreements import Agreement
from entrepot.core.catalog import Model
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, Instant, Period, parse_instant
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Cap, Minimum, Term
from entrepot.core.world import World
from entrepot.provisioning.settled import agreement_conflicts, end_conflicts, model_conflicts, rounding_conflicts
from tests.support.billing import APRIL, MARCH, contract, world

OLD = Agreement("maker/resale_share@always", "maker", "resale_share", "pay", 0, END_OF_TIME, "USD", share=2 * 10**11)
ENDED = msgspec.structs.replace(OLD, ends=APRIL)
NEXT = msgspec.structs.replace(OLD, id="maker/resale_share@2024-04-01", begins=APRIL, share=3 * 10**11)


def declared(*agreements: Agreement, maker: str = "maker") -> World:
    model = Model(id="m", version="1", partner=maker, context_tokens=8192, stage="general")
    return msgspec.structs.replace(world(), agreements=agreements, models=(model,))


def conflicts(before: World, after: World, until: int | None = APRIL) -> list[str]:
    """Of worlds, when March is closed, or until an instant."""
    return [*agreement_conflicts(before, after, lambda _: until), *model_conflicts(before, after, lambda _: until)]


CHANGES: dict[str, dict[str, object]] = {
    "share": {"share": 10**11},
    "direction": {"direction": "receive"},
    "cap": {"cap_pico": PICO},
    "currency": {"currency": "EUR"},
    "beginning": {"begins": MARCH},
    "end": {"ends": APRIL - 1},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_agreement_of_closed_months_is_refused_to_change_with_what_to_do(change: dict[str, object]) -> None:
    changed = msgspec.structs.replace(OLD, **change)
    (found,) = conflicts(declared(OLD), declared(changed))
    assert found == (
        "agreement maker/resale_share@always holds for months that are closed until 2024-04-01 and can neither go nor "
        "change for them; give it `to: 2024-04-01` or later, and declare another one `from` then; what was wrong "
        "before, a further agreement about the difference puts right"
    )
    assert conflicts(declared(OLD), declared(changed), None) == []
    assert conflicts(declared(changed), declared(OLD), None) == []


def test_an_agreement_of_closed_months_stays_declared() -> None:
    assert len(conflicts(declared(OLD), declared())) == 1
    assert len(conflicts(declared(OLD), declared(NEXT))) == 1
    assert len(conflicts(declared(ENDED), declared(OLD), APRIL + 1)) == 1


def test_an_agreement_may_end_behind_what_is_closed_and_another_begin() -> None:
    assert conflicts(declared(OLD), declared(ENDED)) == []
    assert conflicts(declared(OLD), declared(ENDED, NEXT)) == []
    assert conflicts(declared(ENDED), declared(OLD)) == []
    assert conflicts(declared(ENDED, NEXT), declared(ENDED)) == []
    assert conflicts(declared(ENDED, NEXT), declared(ENDED, msgspec.structs.replace(NEXT, share=1))) == []


def test_a_model_stays_of_the_partner_that_has_a_share_of_closed_months() -> None:
    (found,) = conflicts(declared(OLD), declared(OLD, maker="other"))
    assert found == (
        "model m is of maker in months that are closed and settled by its agreements, and cannot be of other; declare "
        "a further model with an id of its own"
    )
    assert len(conflicts(declared(OLD, maker="other"), declared(OLD))) == 1
    assert conflicts(declared(OLD), declared(OLD, maker="other"), None) == []
    assert conflicts(declared(), declared(maker="other")) == []
    rented = msgspec.structs.replace(OLD, kind="capacity_rental")
    assert conflicts(declared(rented), declared(rented, maker="other")) == []
    late = msgspec.structs.replace(OLD, begins=parse_instant("2024-06-01"))
    assert conflicts(declared(late), declared(late, maker="other")) == []


def test_the_way_of_rounding_stays_once_a_month_is_closed() -> None:
    even = world(rounding="half_even")
    closed = [Period(2024, 2), Period(2024, 3), Period(2024, 1)]
    (found,) = rounding_conflicts(world(), even, closed)
    assert found == (
        "operator.rounding is half_up in months that are closed, the last of them 2024-03, and cannot become "
        "half_even: what comes late to them would be rounded otherwise than what was invoiced and stated of them"
    )
    assert list(rounding_conflicts(world(), even, [])) == []
    assert list(rounding_conflicts(even, even, closed)) == []


LEAST, MOST = Minimum(PICO), Cap(PICO)
MIDDLE, LAST = MARCH + 15 * DAY, Period(2024, 3)


def end_moved(
    ends: Instant, later: Instant, *terms: Term, invoiced: Period | None = LAST, zone: str = "UTC"
) -> list[str]:
    """What is said when the end of one of two contracts is another, the last invoice being of a month."""
    old = contract("acme", effective_to=ends, terms=terms, zone=zone)

    def last_invoiced(of: Contract) -> Period | None:
        assert of == old
        return invoiced

    other = contract("beta")
    before, after = (world(contracts=[item, other]) for item in (old, msgspec.structs.replace(old, effective_to=later)))
    return list(end_conflicts(before, after, last_invoiced))


@pytest.mark.parametrize("term", [LEAST, MOST])
@pytest.mark.parametrize("later", [MIDDLE + 1, APRIL, END_OF_TIME])
def test_a_month_that_is_charged_by_its_days_keeps_the_end_of_its_contract(term: Term, later: Instant) -> None:
    (found,) = end_moved(MIDDLE, later, term)
    assert found == (
        "contract acme@2024-01-01 has ended on 2024-03-16T00:00:00Z and cannot end later: the minimum or cap of "
        "2024-03 was invoiced by its days; declare a further contract of the customer with effective_from "
        "2024-03-16T00:00:00Z"
    )
    assert len(end_moved(MIDDLE, later, term, invoiced=Period(2024, 4))) == 1


def test_an_end_may_move_where_nothing_is_charged_by_its_days() -> None:
    assert end_moved(MIDDLE, APRIL) == []
    assert end_moved(MIDDLE, MIDDLE, LEAST) == []
    assert end_moved(MIDDLE, MIDDLE - DAY, LEAST) == []  # contract_conflicts says when not.
    assert end_moved(MIDDLE, APRIL, LEAST, invoiced=Period(2024, 2)) == []
    assert end_moved(MIDDLE, APRIL, LEAST, invoiced=None) == []
    assert end_moved(APRIL, END_OF_TIME, LEAST) == []
    assert len(end_moved(APRIL - 1, END_OF_TIME, LEAST)) == 1


def test_the_month_of_an_end_is_one_of_the_contracts_zone() -> None:
    ends = parse_instant("2024-04-01", "Asia/Kolkata")
    assert end_moved(ends, END_OF_TIME, LEAST, zone="Asia/Kolkata") == []
    assert len(end_moved(ends, END_OF_TIME, LEAST)) == 1
    assert len(end_moved(ends + 1, END_OF_TIME, LEAST, invoiced=Period(2024, 4), zone="Asia/Kolkata")) == 1
    assert end_moved(ends + 1, END_OF_TIME, LEAST, zone="Asia/Kolkata") == []


def test_a_contract_that_goes_is_not_one_that_ends_later() -> None:
    old = world(contracts=[contract("acme", effective_to=MIDDLE, terms=(LEAST,))])
    assert list(end_conflicts(old, world(contracts=[contract("beta")]), lambda _: Period(2024, 3))) == []
