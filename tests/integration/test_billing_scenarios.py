"""Worked examples of bills, each through `entrepot bill` on a world file and a usage file, exact to the pico."""

from pathlib import Path

import pytest

from tests.support.bills import Billing

TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")


@pytest.fixture
def billing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Billing:
    return Billing(tmp_path, capsys)


NOON = "2024-03-05T12:00:00Z"


def test_cached_input_and_reasoning_are_counted_once(billing: Billing) -> None:
    prices = [
        'meter: input_tokens, per_million: "1.25"',
        'meter: cached_input_tokens, per_million: "0.125"',
        'meter: output_tokens, per_million: "10"',
    ]
    usage = [(NOON, dict(zip(TOKENS, (246_919, 987_648, 15_321, 30_000), strict=True)))]
    assert billing.lines(prices, usage) == (
        [
            ("cached_input_tokens", "987648", "0.123456", "0.12"),
            ("input_tokens", "246919", "0.30864875", "0.31"),
            ("output_tokens", "45321", "0.45321", "0.45"),
        ],
        "0.88",
    )
    (invoice,) = billing.bill(prices, usage)["invoices"]
    assert invoice["residual"] == "0.00531475"
    assert billing.lines(prices, usage, terms="{kind: lines, grain: model}")[1] == "0.89"


STEPS = '[{up_to: 10000000, per_million: "0.40"}, {up_to: 100000000, per_million: "0.36"}, {per_million: "0.30"}]'


@pytest.mark.parametrize(
    ("mode", "quantity", "exact", "amount"),
    [
        ("graduated", 123_456_789, "43.4370367", "43.44"),
        ("graduated", 10_000_000, "4", "4.00"),
        ("graduated", 10_000_001, "4.00000036", "4.00"),
        ("graduated", 95_000_000, "34.6", "34.60"),
        ("volume", 123_456_789, "37.0370367", "37.04"),
        ("volume", 100_000_000, "36", "36.00"),
        ("volume", 100_000_001, "30.0000003", "30.00"),
    ],
)
def test_steps_by_quantity(billing: Billing, mode: str, quantity: int, exact: str, amount: str) -> None:
    """However the month's usage is cut into requests."""
    price = f"meter: input_tokens, tiers: {{mode: {mode}, steps: {STEPS}}}"
    days = [f"2024-03-{day:02d}T08:00:00Z" for day in range(1, 31)]
    whole, rest = divmod(quantity, len(days))
    usage = [(day, {"input_tokens": whole + (rest if day == days[-1] else 0)}) for day in days]
    assert billing.lines([price], usage) == ([("input_tokens", str(quantity), exact, amount)], amount)


def test_packages_are_begun_and_paid(billing: Billing) -> None:
    usage = [(f"2024-03-{day:02d}T08:00:00Z", {"requests": 700}) for day in range(1, 4)]
    told = billing.lines(['meter: requests, package: {size: 1000, each: "0.50"}'], usage)
    assert told == ([("requests", "2100", "1.5", "1.50")], "1.50")


PEAK = (
    'meter: output_tokens, per_million: "1.20", '
    'windows: [{name: peak, zone: Europe/Berlin, days: mon-fri, from: "08:00", to: "20:00", per_million: "2.00"}]'
)


def test_peak_and_off_peak_by_the_hour_of_admission(billing: Billing) -> None:
    usage = [
        ("2026-03-27T12:00:00Z", {"output_tokens": 600_000}),
        ("2026-03-27T19:00:00Z", {"output_tokens": 400_000}),
    ]
    (invoice,) = billing.bill([PEAK], usage, "2026-03", zone="Europe/Berlin")["invoices"]
    assert [(line["price_class"], line["exact"], line["amount"]) for line in invoice["lines"]] == [
        ("", "0.48", "0.48"),
        ("peak", "1.2", "1.20"),
    ]
    assert invoice["total"] == "1.68"


@pytest.mark.parametrize(
    ("at", "exact"),
    [
        ("2026-03-27T06:59:59Z", "1.2"),
        ("2026-03-27T07:00:00Z", "2"),
        ("2026-03-30T05:59:59Z", "1.2"),
        ("2026-03-30T06:00:00Z", "2"),
    ],
)
def test_windows_move_with_the_clocks(billing: Billing, at: str, exact: str) -> None:
    lines, _ = billing.lines([PEAK], [(at, {"output_tokens": 10**6})], "2026-03", zone="Europe/Berlin")
    assert lines == [("output_tokens", "1000000", exact, f"{float(exact):.2f}")]


def test_a_batch_has_prices_of_its_own(billing: Billing) -> None:
    prices = [
        'meter: input_tokens, tier: batch, per_million: "0.075"',
        'meter: output_tokens, tier: batch, per_million: "0.30"',
        'meter: cached_input_tokens, tier: batch, per_million: "0.0075"',
    ]
    usage = [(NOON, {"input_tokens": 37_000_001, "output_tokens": 4_999_999})]
    assert billing.lines(prices, usage, tier="batch") == (
        [
            ("input_tokens", "37000001", "2.775000075", "2.78"),
            ("output_tokens", "4999999", "1.4999997", "1.50"),
        ],
        "4.28",
    )
    grain = "{kind: lines, grain: model}"
    assert billing.lines(prices, usage, tier="batch", terms=grain)[1] == "4.27"
    cached = [(NOON, {"cached_input_tokens": 10**6})]
    assert billing.lines(prices, cached, tier="batch")[0] == [("cached_input_tokens", "1000000", "0.0075", "0.01")]


def test_small_requests_do_not_vanish(billing: Billing) -> None:
    usage = [(NOON, {"input_tokens": 137})] * 2_000
    told = billing.lines(['meter: input_tokens, per_million: "0.15"'], usage)
    assert told == ([("input_tokens", "274000", "0.0411", "0.04")], "0.04")


def test_long_requests_cost_their_own_price(billing: Billing) -> None:
    """By all of a request's input, cached or not; each request for itself."""
    price = 'meter: input_tokens, per_million: "1.25", long_context: [{above: 200000, per_million: "2.50"}]'
    usage = [
        (NOON, {"input_tokens": 200_000}),
        (NOON, {"input_tokens": 150_000, "cached_input_tokens": 50_001}),
        (NOON, {"input_tokens": 200_001}),
    ]
    (invoice,) = billing.bill([price], usage)["invoices"]
    assert [(line["price_class"], line["quantity"], line["exact"]) for line in invoice["lines"]] == [
        ("", "200000", "0.25"),
        ("above_200000", "400002", "1.000005"),
    ]


@pytest.mark.parametrize(
    ("tokens", "amounts", "total"),
    [
        (4_123_378, ["412.34", "136.05"], "548.39"),
        (6_000_000, ["600.00"], "600.00"),
        (5_483_850, ["548.39"], "548.39"),
        (0, ["548.39"], "548.39"),
    ],
)
def test_a_minimum_of_part_of_a_month(billing: Billing, tokens: int, amounts: list[str], total: str) -> None:
    """1,000 a month from 15 January, which leaves 17 of 31 days: 548.387…"""
    told = billing.bill(
        ['meter: input_tokens, per_million: "100"'],
        [(f"2024-{'01' if tokens else '02'}-20T12:00:00Z", {"input_tokens": tokens or 1})],
        "2024-01",
        terms='{kind: minimum, monthly: "1000"}',
        since="2024-01-15",
    )
    (invoice,) = told["invoices"]
    assert [line["amount"] for line in invoice["lines"]] == amounts
    assert (invoice["net"], invoice["total"]) == (total, total)


def test_a_discount_is_taken_off_the_unit_price_and_a_tax_put_on_the_net(billing: Billing) -> None:
    """12.5 % of 30.000001 a million is 26,250,000.875 pico a token, which is rounded once, up."""
    terms = '{kind: discount, percent: "12.5", models: [m]}, {kind: tax, percent: "20", name: VAT}'
    (invoice,) = billing.bill(
        ['meter: input_tokens, per_million: "30.000001"', 'meter: output_tokens, per_million: "60"'],
        [(NOON, {"input_tokens": 1_000_000, "output_tokens": 1_000_001})],
        terms=terms,
    )["invoices"]
    assert [(line["unit_price"], line["exact"], line["amount"]) for line in invoice["lines"]] == [
        ("0.000026250001", "26.250001", "26.25"),
        ("0.0000525", "52.5000525", "52.50"),
    ]
    assert invoice["taxes"] == [{"name": "VAT", "percent": "20", "net": "78.75", "amount": "15.75", "lines": [1, 2]}]
    assert (invoice["net"], invoice["tax"], invoice["total"]) == ("78.75", "15.75", "94.50")


COMMITMENT = (
    '{{kind: commitment, amount: "120000", term: {{from: 2024-01-01, to: {to}}}, discount_percent: "20", '
    "overage: {overage}, payment: {payment}}}"
)


def committed(billing: Billing, period: str, tokens: dict[str, int], **of: str) -> tuple[list[tuple[str, ...]], str]:
    """([(kind, exact, amount)], total) under a commitment of 120,000; tokens: {month: at 100 a million}."""
    terms = COMMITMENT.format(**{"to": "2025-01-01", "overage": "list", "payment": "prepaid", **of})
    usage = [
        (f"{month}-{day}T12:00:00Z", {"input_tokens": quantity // 2 + (quantity % 2 if day == "11" else 0)})
        for month, quantity in tokens.items()
        for day in ("10", "11")
    ]
    (invoice,) = billing.bill(['meter: input_tokens, per_million: "100"'], usage, period, terms=terms)["invoices"]
    return [(line["kind"], line["exact"], line["amount"]) for line in invoice["lines"]], invoice["total"]


# 95,000 of the commitment are spent in February; March comes to 47,500.625 at list.
SPENT = {"2024-02": 1_187_500_000, "2024-03": 475_006_250}


def test_a_prepaid_commitment_is_bought_and_drawn_down(billing: Billing) -> None:
    bought = [
        ("usage", "95000", "95000.00"),
        ("commitment", "-95000", "-95000.00"),
        ("purchase", "120000", "120000.00"),
    ]
    lines, total = committed(billing, "2024-02", SPENT)
    assert (sorted(lines), total) == (sorted([*bought[:2]]), "0.00")
    january, first = committed(billing, "2024-01", {"2024-01": 1, **SPENT})
    assert (january[-1], first) == (bought[2], "120000.00")


@pytest.mark.parametrize(
    ("overage", "exact", "amount"), [("list", "16250.625", "16250.63"), ('"1.10"', "14300.55", "14300.55")]
)
def test_what_goes_beyond_a_commitment_has_its_own_price(
    billing: Billing, overage: str, exact: str, amount: str
) -> None:
    assert committed(billing, "2024-03", SPENT, overage=overage) == (
        [("usage", "25000", "25000.00"), ("overage", exact, amount), ("commitment", "-25000", "-25000.00")],
        amount,
    )


def test_what_was_not_spent_is_owed_at_the_end(billing: Billing) -> None:
    """97,250.40 of 120,000 drawn leaves 22,749.60."""
    spent = {"2024-02": 1_215_630_000}
    lines, total = committed(billing, "2024-03", spent, to="2024-04-01", payment="arrears")
    assert (lines, total) == ([("shortfall", "22749.6", "22749.60")], "22749.60")


def test_an_invoice_in_another_currency_at_a_locked_rate(billing: Billing) -> None:
    """Each line is converted from its exact amount and rounded once: 3 x 91.8336732 makes 275.49, not 275.50."""
    meters = ("input_tokens", "output_tokens", "audio_input_tokens")
    (invoice,) = billing.bill(
        [f'meter: {meter}, per_million: "100.004"' for meter in meters],
        [(NOON, dict.fromkeys(meters, 10**6))],
        currency="EUR",
        terms='{kind: exchange, rate: "0.9183"}',
    )["invoices"]
    assert [(line["exact"], line["amount"]) for line in invoice["lines"]] == [("91.8336732", "91.83")] * 3
    assert (invoice["total"], invoice["residual"]) == ("275.49", "0.0110196")
    assert invoice["conversions"] == [{"period": "2024-03", "currency": "USD", "rate": "0.9183"}]


@pytest.mark.parametrize(
    ("currency", "rate", "amount"),
    [("JPY", "151.37", "186877"), ("KWD", "0.30712", "379.160"), ("EUR", "0.9183", "1133.70")],
)
def test_amounts_are_converted_before_they_are_rounded(billing: Billing, currency: str, rate: str, amount: str) -> None:
    """1,234.567890123 dollars, at the rate in force at the end of the month."""
    rates = ", ".join(
        f'{{from: USD, to: {currency}, rate: "{value}", on: {date}}}'
        for value, date in (("7", "2024-02-01"), (rate, "2024-03-31"), ("9", "2024-04-01"))
    )
    _, total = billing.lines(
        ['meter: images, each: "1234.567890123"'], [(NOON, {"images": 1})], currency=currency, rates=rates
    )
    assert total == amount
