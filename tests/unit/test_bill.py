"""Worked scenarios through `bill`, exact to the pico and the cent; the figures are derived by hand."""

from collections.abc import Iterable

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.bills import bill
from entrepot.core.errors import BadInput
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.flows.show_bill import Bill, BilledInvoice
from tests.support.billing import contract, prices, usage, version, world


def billed(declared: World, events: Iterable[UsageEvent], period: str = "2024-03") -> Bill:
    books = open_books(":memory:")
    printed = bill(books, declared, events, period)
    assert printed.ledger.balanced
    books.close()
    return printed


def only_invoice(printed: Bill) -> BilledInvoice:
    assert len(printed.invoices) == 1
    assert printed.quarantine == ()
    return printed.invoices[0]


CACHED = version(
    prices(("m", "input_tokens", "1.25"), ("m", "cached_input_tokens", "0.125"), ("m", "output_tokens", "10"))
)
CACHED_METERS = {
    "input_tokens": 1_234_567 - 987_648,
    "cached_input_tokens": 987_648,
    "output_tokens": 45_321 - 30_000,
    "reasoning_tokens": 30_000,
}


def test_cached_input_and_reasoning() -> None:
    """Reasoning has no price of its own, so it is on the line of the output it is a part of."""
    invoice = only_invoice(billed(world(CACHED), [usage("a", meters=CACHED_METERS)]))
    assert [(line.meter, line.quantity, line.exact, line.amount) for line in invoice.lines] == [
        ("cached_input_tokens", "987648", "0.123456", "0.12"),
        ("input_tokens", "246919", "0.30864875", "0.31"),
        ("output_tokens", "45321", "0.45321", "0.45"),
    ]
    assert (invoice.net, invoice.tax, invoice.total, invoice.residual) == ("0.88", "0.00", "0.88", "0.00531475")


def test_cached_input_and_reasoning_on_one_line_per_model() -> None:
    declared = world(CACHED, contracts=[contract("acme", line_grain="model")])
    invoice = only_invoice(billed(declared, [usage("a", meters=CACHED_METERS)]))
    assert [(line.meter, line.tier, line.unit_price, line.exact, line.amount) for line in invoice.lines] == [
        ("", "", None, "0.88531475", "0.89")
    ]
    assert (invoice.total, invoice.residual) == ("0.89", "-0.00468525")


def test_a_reasoning_price_of_its_own_makes_a_line_of_its_own() -> None:
    declared = world(version((*CACHED.prices, *prices(("m", "reasoning_tokens", "10")))))
    invoice = only_invoice(billed(declared, [usage("a", meters=CACHED_METERS)]))
    assert [(line.meter, line.amount) for line in invoice.lines][2:] == [
        ("output_tokens", "0.15"),
        ("reasoning_tokens", "0.30"),
    ]


BATCH = version(
    (
        *prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.60")),
        *prices(
            ("m", "input_tokens", "0.075"),
            ("m", "cached_input_tokens", "0.0075"),
            ("m", "output_tokens", "0.30"),
            tier="batch",
        ),
    )
)


def test_batch_at_half_price() -> None:
    event = usage("a", tier="batch", meters={"input_tokens": 37_000_001, "output_tokens": 4_999_999})
    invoice = only_invoice(billed(world(BATCH), [event]))
    assert [(line.tier, line.unit_price, line.exact, line.amount) for line in invoice.lines] == [
        ("batch", "0.000000075", "2.775000075", "2.78"),
        ("batch", "0.0000003", "1.4999997", "1.50"),
    ]
    assert (invoice.total, invoice.residual) == ("4.28", "-0.005000225")


def test_batch_at_half_price_on_one_line_per_model() -> None:
    event = usage("a", tier="batch", meters={"input_tokens": 37_000_001, "output_tokens": 4_999_999})
    declared = world(BATCH, contracts=[contract("acme", line_grain="model")])
    assert [(line.exact, line.amount) for line in only_invoice(billed(declared, [event])).lines] == [
        ("4.274999775", "4.27")
    ]


def test_cached_tokens_in_a_batch_cost_less_than_a_nano_dollar_shows() -> None:
    event = usage("a", tier="batch", meters={"cached_input_tokens": 1_000_000})
    assert only_invoice(billed(world(BATCH), [event])).lines[0].exact == "0.0075"


def test_full_price_beside_batch() -> None:
    event = usage("a", meters={"input_tokens": 37_000_001, "output_tokens": 4_999_999})
    lines = only_invoice(billed(world(BATCH), [event])).lines
    assert [line.exact for line in lines] == ["5.55000015", "2.9999994"]  # 8.54999955 together


@pytest.mark.parametrize(
    ("tokens", "rounding", "amount"),
    [
        (125, "half_up", "0.13"),
        (125, "half_even", "0.12"),
        (-125, "half_up", "-0.13"),
        (2665, "half_up", "2.67"),
        (2665, "half_even", "2.66"),
    ],
)
def test_ties(tokens: int, rounding: str, amount: str) -> None:
    declared = world(version(prices(("m", "input_tokens", "1000"))), rounding=rounding)  # type: ignore[arg-type]
    corrects = "elsewhere" if tokens < 0 else None
    events = [usage("a", meters={"input_tokens": tokens}, corrects=corrects)]
    assert only_invoice(billed(declared, events)).total == amount


def test_minor_units_are_the_currencys() -> None:
    declared = world(
        version(prices(("m", "input_tokens", "1000"))),
        contracts=[contract("acme", currency="JPY"), contract("zeta", currency="KWD")],
        customers=["acme", "zeta"],
    )
    events = [
        usage("a", meters={"input_tokens": 1500}),
        usage("b", meters={"input_tokens": 1500}, customer="zeta"),
    ]
    printed = billed(declared, events)
    assert [(invoice.currency, invoice.total, invoice.tax) for invoice in printed.invoices] == [
        ("JPY", "2", "0"),
        ("KWD", "1.500", "0.000"),
    ]


def test_each_month_is_billed_as_if_closed_in_time() -> None:
    """Usage of other months in the file neither shows on the bill nor is lost from the ledger."""
    declared = world(version(prices(("m", "input_tokens", "1000"))))
    events = [
        usage("feb", "2024-02-29T23:59:59.999999Z"),
        usage("mar", "2024-03-01T00:00:00Z", meters={"input_tokens": 20}),
        usage("apr", "2024-04-01T00:00:00Z", meters={"input_tokens": 40}),
    ]
    invoice = only_invoice(billed(declared, events))
    assert [(line.kind, line.period, line.quantity) for line in invoice.lines] == [("usage", "2024-03", "20")]
    assert billed(declared, events).ledger.entries == 4  # an hour and an invoice in each of two months


def test_months_are_those_of_the_contracts_zone() -> None:
    """New York's March begins at 05:00 UTC and ends, in summer time, at 04:00 UTC."""
    declared = world(
        version(prices(("m", "input_tokens", "1000"))), contracts=[contract("acme", zone="America/New_York")]
    )
    events = [
        usage("a", "2024-03-01T04:59:59Z", meters={"input_tokens": 1}),
        usage("b", "2024-03-01T05:00:00Z", meters={"input_tokens": 2}),
        usage("c", "2024-04-01T03:59:59Z", meters={"input_tokens": 4}),
        usage("d", "2024-04-01T04:00:00Z", meters={"input_tokens": 8}),
    ]
    assert [line.quantity for line in only_invoice(billed(declared, events)).lines] == ["6"]


def test_quarantine_is_on_the_bill() -> None:
    declared = world(version(prices(("m", "input_tokens", "1"))))
    printed = billed(declared, [usage("a", customer="nobody")])
    assert printed.invoices == ()
    assert [(item.id, item.kind) for item in printed.quarantine] == [("a", "unpriced")]
    assert "'nobody' is not declared" in printed.quarantine[0].reason


def test_no_usage_no_invoice() -> None:
    printed = billed(world(version(())), [])
    assert printed.invoices == ()
    assert printed.ledger.entries == 0
    assert printed.ledger.root == "sha256:" + "0" * 64


def test_a_period_is_a_month() -> None:
    with pytest.raises(BadInput, match="'2024-13' is not a month"):
        billed(world(), [], "2024-13")
