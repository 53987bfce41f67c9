"""Which charges make which line, and what an invoice says."""

from collections.abc import Sequence

import msgspec

from entrepot.core.charges import Charge
from entrepot.core.invoices import Invoice, InvoiceLine, TaxLine
from entrepot.core.periods import Period, parse_instant
from entrepot.core.terms import Minimum, Tax, Term
from entrepot.core.world import WorldIndex
from entrepot.invoicing.draft import draft
from entrepot.invoicing.issue import draw_up, number_of
from tests.support.billing import APRIL, MARCH, SERIES, contract, world

PERIOD = Period(2024, 3)
TERMS = WorldIndex(world())


def charge(quantity: int, unit: int = 10**12, meter: str = "input_tokens", hour: int = MARCH, **changes: str) -> Charge:
    series = msgspec.structs.replace(SERIES, **changes)
    return Charge(series, meter, hour, quantity, unit, quantity * unit, changes.get("priced_as", meter))


def test_charges_of_one_price_make_one_line() -> None:
    charges = [charge(1), charge(2, deployment="x", project="y"), charge(4, hour=APRIL - 1)]
    (item,) = draft(charges, contract("acme"), PERIOD, supplement=False)
    assert (item.line.quantity, item.line.exact_pico, item.line.unit_pico) == (7, 7 * 10**12, 10**12)
    assert item.charges == charges


def test_model_meter_tier_price_and_month_tell_lines_apart() -> None:
    february = parse_instant("2024-02-29T23:00:00Z")
    charges = [
        charge(1),
        charge(2, model="n"),
        charge(4, meter="output_tokens"),
        charge(8, tier="batch"),
        charge(16, unit=7, price_version="list@2024-03-05"),
        charge(32, hour=february),
    ]
    drafted = draft(charges, contract("acme"), PERIOD, supplement=False)
    assert [(item.line.period, item.line.kind, item.line.quantity) for item in drafted] == [
        ("2024-02", "adjustment", 32),
        ("2024-03", "usage", 8),
        ("2024-03", "usage", 1),
        ("2024-03", "usage", 16),
        ("2024-03", "usage", 4),
        ("2024-03", "usage", 2),
    ]


def test_a_supplement_adjusts_also_its_own_month() -> None:
    (item,) = draft([charge(1)], contract("acme"), PERIOD, supplement=True)
    assert (item.line.period, item.line.kind) == ("2024-03", "adjustment")


def test_the_month_of_an_hour_is_that_of_the_contracts_zone() -> None:
    boundary = parse_instant("2024-02-29T18:30:00Z")
    ends = parse_instant("2024-03-31T18:30:00Z")
    charges = [charge(1, hour=boundary - 30 * 60_000_000), charge(2, hour=boundary), charge(4, hour=ends)]
    drafted = draft(charges, contract("acme", zone="Asia/Kolkata"), PERIOD, supplement=False)
    found = [(item.line.period, item.line.quantity) for item in drafted]
    assert found == [("2024-02", 1), ("2024-03", 2), ("2024-04", 4)]


def test_a_line_per_model_takes_all_meters_and_tiers() -> None:
    charges = [charge(1), charge(2, unit=5, meter="output_tokens"), charge(4, tier="batch"), charge(8, model="n")]
    drafted = draft(charges, contract("acme", line_grain="model"), PERIOD, supplement=False)
    assert [(item.line.model, item.line.meter, item.line.unit_pico, item.line.quantity) for item in drafted] == [
        ("m", "", None, 7),
        ("n", "", None, 8),
    ]


def test_what_comes_to_nothing_makes_no_line() -> None:
    assert draft([charge(5), charge(-5, deployment="x")], contract("acme"), PERIOD, supplement=False) == []
    free = draft([charge(5, unit=0)], contract("acme"), PERIOD, supplement=False)
    assert [item.line.quantity for item in free] == [5]
    odd = draft(
        [charge(5), charge(-5, unit=7, meter="output_tokens")], contract("acme", line_grain="model"), PERIOD, False
    )
    assert [item.line.quantity for item in odd] == [0]


def test_what_moves_a_pool_is_invoiced_also_where_it_comes_to_nothing() -> None:
    """Its readings would else wait for an invoice for ever."""
    pooled = [msgspec.structs.replace(charge(quantity), unit_pico=None) for quantity in (5, -5)]
    (item,) = draft(pooled, contract("acme"), PERIOD, supplement=False)
    assert (item.line.quantity, item.line.exact_pico, item.charges) == (0, 0, pooled)
    beside = [pooled[0], charge(-5, meter="output_tokens")]
    assert len(draft(beside, contract("acme", line_grain="model"), PERIOD, supplement=False)) == 1


def test_an_invoice_shows_its_sums() -> None:
    drafts = draft(
        [charge(5, unit=10**9), charge(3, unit=15 * 10**8, meter="output_tokens")], contract("acme"), PERIOD, False
    )
    lines = [item.line for item in drafts]
    paper = draw_up(TERMS, contract("acme"), PERIOD, number_of(PERIOD, 12), APRIL, lines, [])
    assert paper is not None
    made, totals = paper
    assert (made.number, made.customer_name, made.issued_at) == ("2024-03-000012", "Acme", "2024-04-01T00:00:00Z")
    assert [line.amount for line in made.lines] == ["0.01", "0.00"]
    assert (made.net, made.tax, made.total, made.residual) == ("0.01", "0.00", "0.01", "-0.0005")
    assert totals.residual_pico == -500_000_000


def drawn(
    charged: int, *terms: Term, earlier: Sequence[InvoiceLine] = (), begins: str = "2024-01-01"
) -> Invoice | None:
    """The invoice of March for so many cents of usage under these terms."""
    since = parse_instant(begins, "Europe/Berlin")
    agreed = contract("acme", terms=terms, zone="Europe/Berlin", effective_from=since)
    lines = [item.line for item in draft([charge(charged, unit=10**10)], agreed, PERIOD, False)]
    paper = draw_up(TERMS, agreed, PERIOD, "n", APRIL, lines, earlier)
    return paper[0] if paper else None


def told(paper: Invoice | None) -> list[tuple[str, str, str]]:
    """(kind, period, amount) of each line."""
    return [(line.kind, line.period, line.amount) for line in paper.lines] if paper else []


MINIMUM = Minimum(1000 * 10**12)


def test_a_minimum_is_filled_up_and_no_more() -> None:
    assert told(drawn(41_234, MINIMUM)) == [("usage", "2024-03", "412.34"), ("minimum", "2024-03", "587.66")]
    assert told(drawn(100_000, MINIMUM)) == [("usage", "2024-03", "1000.00")]
    assert told(drawn(0, MINIMUM)) == [("minimum", "2024-03", "1000.00")]
    assert drawn(0, Minimum(0)) is None


def test_every_day_of_a_month_weighs_the_same_whatever_the_clocks_do() -> None:
    """The last day of March 2024 in Berlin has 23 hours."""
    assert told(drawn(0, MINIMUM, begins="2024-03-31")) == [("minimum", "2024-03", "32.26")]
    assert told(drawn(0, MINIMUM, begins="2024-03-01")) == [("minimum", "2024-03", "1000.00")]
    assert drawn(0, MINIMUM, begins="2024-04-01") is None


def test_late_usage_gives_back_what_of_a_minimum_it_covers() -> None:
    first = drawn(41_234, MINIMUM)
    assert first is not None
    second = drawn(10_000, MINIMUM, earlier=first.lines)
    assert told(second) == [("usage", "2024-03", "100.00"), ("minimum", "2024-03", "-100.00")]
    third = drawn(90_000, MINIMUM, earlier=[*first.lines, *(second.lines if second else ())])
    assert told(third) == [("usage", "2024-03", "900.00"), ("minimum", "2024-03", "-487.66")]


def test_taxes_are_on_the_rounded_net_of_their_lines_and_a_line_is_taxed_once() -> None:
    share = 10**12
    paper = drawn(27_916, Tax(share * 7 // 100, "reduced", ("x",)), Tax(share // 5, "vat"), Tax(share // 2, "more"))
    assert paper is not None
    assert paper.taxes == (
        TaxLine("reduced", "7", "0.00", "0.00"),
        TaxLine("vat", "20", "279.16", "55.83", lines=(1,)),
        TaxLine("more", "50", "0.00", "0.00"),
    )
    assert (paper.net, paper.tax, paper.total) == ("279.16", "55.83", "334.99")
