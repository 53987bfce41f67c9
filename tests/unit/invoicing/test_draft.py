"""Which charges make which line, and what an invoice says."""

import msgspec

from entrepot.core.charges import Charge
from entrepot.core.periods import Period, parse_instant
from entrepot.core.tenancy import Customer
from entrepot.invoicing.draft import draft
from entrepot.invoicing.issue import draw_up, number_of
from tests.support.billing import APRIL, MARCH, SERIES, contract

PERIOD = Period(2024, 3)


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
    charges = [charge(1, hour=boundary - 30 * 60_000_000), charge(2, hour=boundary)]
    drafted = draft(charges, contract("acme", zone="Asia/Kolkata"), PERIOD, supplement=False)
    assert [(item.line.period, item.line.quantity) for item in drafted] == [("2024-02", 1), ("2024-03", 2)]


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


def test_an_invoice_shows_its_sums() -> None:
    drafts = draft(
        [charge(5, unit=10**9), charge(3, unit=15 * 10**8, meter="output_tokens")], contract("acme"), PERIOD, False
    )
    lines = [item.line for item in drafts]
    made, totals = draw_up(
        number_of(PERIOD, 12), PERIOD, contract("acme"), Customer("acme", "Acme Ltd"), lines, "half_up", APRIL
    )
    assert (made.number, made.customer_name, made.issued_at) == ("2024-03-000012", "Acme Ltd", "2024-04-01T00:00:00Z")
    assert [line.amount for line in made.lines] == ["0.01", "0.00"]
    assert (made.net, made.tax, made.total, made.residual) == ("0.01", "0.00", "0.01", "-0.0005")
    assert totals.residual_pico == -500_000_000
