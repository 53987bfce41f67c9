"""Usage and units into the ledger as time passes: at marks, in pieces, on from what is posted."""

import pytest

from entrepot.core.log_records import Marked
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, HOUR
from entrepot.core.prices import Price, Step
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.world import index_of
from entrepot.flows.accrue import accrue, pass_mark
from entrepot.ports.books import Books
from tests.support.billing import MARCH, applied, folded, prices, recorded, usage, version, world

TOKENS = prices(("m", "input_tokens", "1000000"))
HOURLY = Price("m", "provisioned_unit_hours", "default", PICO)


def accrued(books: Books) -> dict[str, int]:
    """{customer: dollars that are accrued}."""
    prefix = "assets:receivable:accrued:"
    balances = books.balances().items()
    return {name.removeprefix(prefix): pico // PICO for (name, _), pico in balances if name.startswith(prefix)}


def test_a_mark_before_any_world_moves_the_watermark() -> None:
    assert folded(Marked(at=MARCH)).watermark() == MARCH


def test_a_mark_counts_units_up_to_its_hour_and_posts_what_is_complete() -> None:
    made = world(
        version((HOURLY,)),
        projects=[Project("search", "acme")],
        deployments=[Deployment("d", "search", "m", "provisioned", units=(UnitsFrom(MARCH, 15),))],
    )
    books = folded(applied(made), Marked(at=MARCH + 3 * HOUR + 1), Marked(at=MARCH + 3 * HOUR + 2))
    assert accrued(books) == {"acme": 45}
    assert books.units_through() == MARCH + 3 * HOUR
    again = folded(applied(made), Marked(at=MARCH + 3 * HOUR + 1), Marked(at=MARCH + 5 * HOUR))
    assert accrued(again) == {"acme": 75}


def test_steps_are_gone_up_from_what_is_posted_already() -> None:
    """Twelve at a dollar, then two dollars each: 12 + 2 * 18."""
    steps = Price("m", "input_tokens", "default", 0, mode="graduated", steps=(Step(12, PICO), Step(None, 2 * PICO)))
    records = []
    for hour in range(3):
        at = MARCH + hour * HOUR
        records += [*recorded(usage(f"{hour}", at)), Marked(at=at + HOUR)]
    assert accrued(folded(applied(world(version((steps,)))), *records)) == {"acme": 48}


CUSTOMERS = ("a", "b", "c")


@pytest.mark.parametrize(
    ("piece", "steps"),
    [
        (1, [("a", {"a": 20}), ("b", {"a": 20, "b": 20}), ("c", {"a": 20, "b": 20, "c": 10})]),
        (2, [("b", {"a": 20, "b": 20}), (None, {"a": 20, "b": 20, "c": 10})]),
        (7, [(None, {"a": 20, "b": 20, "c": 10})]),
    ],
)
def test_readings_are_posted_in_pieces_of_whole_contracts(piece: int, steps: list[tuple[str, dict[str, int]]]) -> None:
    """Two contracts have two readings, the last one has one; a piece goes on to the end of a contract."""
    events = [usage(name, MARCH, customer=name) for name in CUSTOMERS]
    events += [usage(f"{name}-2", MARCH + HOUR, customer=name) for name in ("a", "b")]
    books = folded(applied(world(version(TOKENS), customers=CUSTOMERS)), *recorded(*events))
    terms = index_of(books.worlds())
    assert terms is not None
    for through, posted in steps:
        with books.transaction():
            reached = accrue(books, terms, MARCH + DAY, piece)
        assert (reached, accrued(books)) == (through and f"{through}@2024-01-01", posted)
    with books.transaction():
        assert accrue(books, terms, MARCH + DAY, piece) is None
        assert pass_mark(books, terms, MARCH + DAY, piece) is None
    assert books.watermark() == MARCH + DAY
