"""What an organization's days come to, where prices alone do not say it."""

from collections.abc import Sequence

import pytest

from entrepot.core.invoices import Invoice
from entrepot.core.log_records import MonthClosed
from entrepot.core.money import PICO, parse_pico
from entrepot.core.periods import DAY, parse_instant
from entrepot.core.prices import Price, Step
from entrepot.core.terms import Commitment
from entrepot.core.world import index_of
from entrepot.exporting.organization import Asked
from entrepot.flows.tell_costs.organization import organization_costs
from entrepot.ports.books import Books
from tests.support.billing import APRIL, MARCH, applied, contract, folded, recorded, usage, version, world

PACKAGE = Price("m", "input_tokens", "default", 20 * PICO, mode="package", package=1000)
VOLUME = Price("m", "input_tokens", "default", 0, mode="volume", steps=(Step(1000, PICO), Step(None, PICO // 2)))


def days(books: Books) -> dict[str, int]:
    """{project: pico} of March and April."""
    asked = Asked(MARCH, parse_instant("2024-05-01"), DAY, group_by=("project_id",))
    sums: dict[str, int] = {}
    for bucket in organization_costs(books, index_of(books.worlds()), asked):
        for result in bucket.results:
            amount = result["amount"]
            assert isinstance(amount, dict)
            project = str(result["project_id"])
            sums[project] = sums.get(project, 0) + parse_pico(bytes(amount["value"]).decode())
    return sums


def total(invoices: Sequence[Invoice]) -> int:
    return sum(parse_pico(invoice.total) for invoice in invoices)


def test_the_part_of_a_package_that_is_beyond_a_commitment_is_told_with_its_usage() -> None:
    """300 of a package of 1,000 for 20, of which 8 are paid ahead: 12 are the project's, 8 nobody's."""
    term = Commitment(8 * PICO, MARCH, APRIL)
    declared = world(version([PACKAGE]), contracts=[contract("acme", terms=(term,))])
    used = recorded(usage("a", meters={"input_tokens": 300}))
    books = folded(applied(declared), *used, MonthClosed(at=APRIL, period="2024-03"))
    assert total(books.invoices()) == 20 * PICO
    assert days(books) == {"search": 12 * PICO, "None": 8 * PICO}


@pytest.mark.parametrize("late", [{"input_tokens": -200}, {"input_tokens": 200}])
def test_what_late_usage_changes_of_a_volume_price_is_told_with_it(late: dict[str, int]) -> None:
    first, *_ = recorded(usage("a", meters={"input_tokens": 900}))
    corrects = "a" if late["input_tokens"] < 0 else None
    (second,) = recorded(usage("b", project="other", meters=late, corrects=corrects))
    closes = MonthClosed(at=APRIL, period="2024-03"), MonthClosed(at=parse_instant("2024-05-01"), period="2024-04")
    books = folded(applied(world(version([VOLUME]))), first, closes[0], second, closes[1])
    assert len(books.invoices()) == 2
    assert sum(days(books).values()) == total(books.invoices())
