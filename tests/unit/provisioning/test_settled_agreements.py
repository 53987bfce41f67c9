"""What is agreed with a partner for closed months stays what it is; behind them it may end and be another."""

import msgspec
import pytest

from entrepot.core.agreements import Agreement
from entrepot.core.catalog import Model
from entrepot.core.money import PICO
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.world import World
from entrepot.provisioning.settled import agreement_conflicts, model_conflicts
from tests.support.billing import APRIL, MARCH, world

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
    assert found.startswith("agreement maker/resale_share@always holds for months that are closed until 2024-04-01")
    assert "give it `to: 2024-04-01` or later, and declare another one `from` then" in found
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
    assert found.startswith("model m is of maker in months that are closed")
    assert len(conflicts(declared(OLD, maker="other"), declared(OLD))) == 1
    assert conflicts(declared(OLD), declared(OLD, maker="other"), None) == []
    assert conflicts(declared(), declared(maker="other")) == []
    rented = msgspec.structs.replace(OLD, kind="capacity_rental")
    assert conflicts(declared(rented), declared(rented, maker="other")) == []
    late = msgspec.structs.replace(OLD, begins=parse_instant("2024-06-01"))
    assert conflicts(declared(late), declared(late, maker="other")) == []
