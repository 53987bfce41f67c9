"""The figures of the twelve reference scenarios that other files leave out, through `entrepot bill`.

docs/operations/worked-scenarios.md says which test shows which scenario. Amounts that a wrong way of counting would
give are named too, and must not be anywhere on what is printed.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pyarrow import table
from pyarrow.csv import write_csv
from pyarrow.parquet import write_table

from entrepot.cli.main import main
from tests.integration.test_billing_scenarios import COMMITMENT, NOON, PEAK, SPENT, STEPS, TOKENS
from tests.integration.test_standing_charges import HOURLY, RESERVED, RESIZED, deployed
from tests.support.bills import Billing, Usage

BY_MODEL = "{kind: lines, grain: model}"


@pytest.fixture
def billing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Billing:
    return Billing(tmp_path, capsys)


def only(printed: dict[str, Any], *wrong: str) -> dict[str, Any]:
    """The one invoice; wrong: amounts that are nowhere on what was printed."""
    text = json.dumps(printed)
    assert [amount for amount in wrong if f'"{amount}"' in text] == []
    (invoice,) = printed["invoices"]
    assert isinstance(invoice, dict)
    return invoice


def told(invoice: dict[str, Any], *names: str) -> list[tuple[str, ...]]:
    return [tuple(line[name] for name in names) for line in invoice["lines"]]


def exact_of(invoice: dict[str, Any]) -> str:
    """What all lines come to, unrounded."""
    return str(sum(Decimal(line["exact"]) for line in invoice["lines"]))


def test_1_what_is_cached_or_reasoned_is_counted_once(billing: Billing) -> None:
    prices = [
        'meter: input_tokens, per_million: "1.25"',
        'meter: cached_input_tokens, per_million: "0.125"',
        'meter: output_tokens, per_million: "10"',
    ]
    usage: list[Usage] = [(NOON, dict(zip(TOKENS, (246_919, 987_648, 15_321, 30_000), strict=True)))]
    wrong = ("2.11987475", "2.12", "1.18531475", "1.19")
    by_meter = only(billing.bill(prices, usage), *wrong)
    assert (exact_of(by_meter), by_meter["total"], by_meter["residual"]) == ("0.88531475", "0.88", "0.00531475")
    by_model = only(billing.bill(prices, usage, terms=BY_MODEL), *wrong)
    assert told(by_model, "exact", "amount") == [("0.88531475", "0.89")]


@pytest.mark.parametrize(
    ("mode", "quantity", "exact", "amount"),
    [
        ("graduated", 115_000_001, "40.9000003", "40.90"),
        ("graduated", 100_000_000, "36.4", "36.40"),
        ("volume", 10_000_000, "4", "4.00"),
        ("volume", 10_000_001, "3.60000036", "3.60"),
    ],
)
def test_2_upper_bounds_are_inclusive(billing: Billing, mode: str, quantity: int, exact: str, amount: str) -> None:
    price = f"meter: input_tokens, tiers: {{mode: {mode}, steps: {STEPS}}}"
    lines, total = billing.lines([price], [(NOON, {"input_tokens": quantity})])
    assert (lines, total) == ([("input_tokens", str(quantity), exact, amount)], amount)


def test_2_what_arrives_later_goes_on_where_the_month_was(billing: Billing) -> None:
    """In whichever order the file has them; each request alone from zero would make 34.60 + 7.60."""
    price = f"meter: input_tokens, tiers: {{mode: graduated, steps: {STEPS}}}"
    usage: list[Usage] = [(NOON, {"input_tokens": 95_000_000}), (NOON, {"input_tokens": 20_000_001})]
    for arrival in range(3):
        invoice = only(billing.bill([price], usage, arrival=arrival), "7.60", "42.20")
        assert told(invoice, "exact", "amount") == [("40.9000003", "40.90")]


@pytest.mark.parametrize(
    ("tokens", "lines"),
    [
        (4_123_378, [("usage", "412.3378", "412.34"), ("minimum", "136.05", "136.05")]),
        (6_000_000, [("usage", "600", "600.00")]),
        (5_483_850, [("usage", "548.385", "548.39")]),
    ],
)
def test_3_a_minimum_is_measured_against_rounded_lines(
    billing: Billing, tokens: int, lines: list[tuple[str, ...]]
) -> None:
    printed = billing.bill(
        ['meter: input_tokens, per_million: "100"'],
        [("2024-01-20T12:00:00Z", {"input_tokens": tokens})],
        "2024-01",
        terms='{kind: minimum, monthly: "1000"}',
        since="2024-01-15",
    )
    assert told(only(printed, "1000.00", "136.04", "0.00487"), "kind", "exact", "amount") == lines


def committed(billing: Billing, usage: list[Usage], overage: str = "list", **of: Any) -> dict[str, Any]:
    """March under the commitment of 120,000 prepaid for 2024, at 100 a million."""
    terms = COMMITMENT.format(to="2025-01-01", overage=overage, payment="prepaid")
    return billing.bill(['meter: input_tokens, per_million: "100"'], usage, terms=terms, **of)


SPENT_IN_TWO: list[Usage] = [
    (f"{month}-{day}T12:00:00Z", {"input_tokens": quantity // 2})
    for month, quantity in SPENT.items()
    for day in (10, 11)
]


@pytest.mark.parametrize(
    ("rounding", "overage", "exact", "amount"),
    [
        ("half_up", "list", "16250.625", "16250.63"),
        ("half_even", "list", "16250.625", "16250.62"),
        ("half_up", '"1.10"', "14300.55", "14300.55"),
    ],
)
@pytest.mark.parametrize("arrival", [0, 1, 2, 3])
def test_4_a_commitment_is_drawn_in_order_of_time_not_of_arrival(
    billing: Billing, rounding: str, overage: str, exact: str, amount: str, arrival: int
) -> None:
    """95,000 are spent in February, or after March's usage has arrived: 25,000 are left for March all the same."""
    printed = committed(billing, SPENT_IN_TWO, overage, rounding=rounding, arrival=arrival)
    assert told(only(printed), "kind", "exact", "amount") == [
        ("usage", "25000", "25000.00"),
        ("overage", exact, amount),
        ("commitment", "-25000", "-25000.00"),
    ]
    assert only(printed)["total"] == amount


@pytest.mark.parametrize(
    ("input_at", "usage_lines", "beyond"),
    [
        ("10:59:59", [("input_tokens", "80"), ("output_tokens", "20")], "output_tokens"),
        ("12:00:00", [("input_tokens", "20"), ("output_tokens", "80")], "input_tokens"),
    ],
)
@pytest.mark.parametrize("arrival", [0, 1, 2])
def test_4_what_was_admitted_first_draws_first(
    billing: Billing, input_at: str, usage_lines: list[tuple[str, ...]], beyond: str, arrival: int
) -> None:
    """Of 200 at list a commitment of 100 covers 125; the other 75 are 60 discounted, at 1.10. By the hour."""
    meters = ("input_tokens", "output_tokens")
    terms = (
        '{kind: commitment, amount: "100", term: {from: 2024-01-01, to: 2025-01-01}, discount_percent: "20", '
        'overage: "1.10", payment: prepaid}'
    )
    usage: list[Usage] = [
        (f"2024-03-05T{input_at}Z", {"input_tokens": 10**6}),
        ("2024-03-05T11:30:00Z", {"output_tokens": 10**6}),
    ]
    prices = [f'meter: {meter}, per_million: "100"' for meter in meters]
    invoice = only(billing.bill(prices, usage, terms=terms, arrival=arrival))
    drawn = [("usage", *line) for line in usage_lines]
    lines = told(invoice, "kind", "meter", "exact")
    assert lines == [*drawn, ("overage", beyond, "66"), ("commitment", "", "-100")]
    assert invoice["total"] == "66.00"


def test_5_no_hour_is_taken_whole(billing: Billing) -> None:
    invoice = only(billing.bill([HOURLY], [], more=deployed(RESIZED)), "550.00", "550")
    assert told(invoice, "quantity", "amount") == [("379.166666666667", "379.17")]  # 22,750 of 60


def test_5_what_a_reservation_leaves_unused_is_part_of_its_price(billing: Billing) -> None:
    """400 unit hours are paid; 17,500 of 24,000 minutes are used, 72.9166… %."""
    invoice = only(billing.bill([HOURLY], [], more=deployed(RESIZED), terms=RESERVED), "550.00")
    shares = invoice["lines"][1]["shares"]
    used, unused = (Decimal(share["quantity"]) for share in shares)
    assert (round(used * 60), round(unused * 60)) == (17_500, 6_500)
    assert sum(Decimal(share["exact"]) for share in shares) == 140
    assert invoice["total"] == "227.50"


@pytest.mark.parametrize(
    ("at", "exact"),
    [
        ("2026-10-26T06:59:59Z", "0.0036"),
        ("2026-10-26T07:00:00Z", "0.006"),
        ("2026-03-27T06:59:58Z/2026-03-27T07:00:07Z", "0.0036"),  # 07:59:58 to 08:00:07 in Berlin.
    ],
)
def test_6_the_class_of_a_request_is_that_of_its_admission(billing: Billing, at: str, exact: str) -> None:
    invoice = only(billing.bill([PEAK], [(at, {"output_tokens": 3000})], at[:7], zone="Europe/Berlin"))
    assert told(invoice, "quantity", "exact") == [("3000", exact)]


def test_7_a_tax_is_on_the_net_of_its_lines_together(billing: Billing) -> None:
    meters = ("input_tokens", "cached_input_tokens", "output_tokens", "images")
    amounts = ("68.33", "68.33", "57.50", "85.00")
    invoice = only(
        billing.bill(
            [f'meter: {meter}, each: "{amount}"' for meter, amount in zip(meters, amounts, strict=True)],
            [(NOON, dict.fromkeys(meters, 1))],
            terms='{kind: tax, percent: "20", name: VAT}',
        ),
        "335.00",
        "55.84",
    )
    assert sorted(line["amount"] for line in invoice["lines"]) == sorted(amounts)
    assert (invoice["net"], invoice["tax"], invoice["total"]) == ("279.16", "55.83", "334.99")


def test_8_a_batch_costs_half_to_the_pico(billing: Billing) -> None:
    prices = [
        'meter: input_tokens, per_million: "0.15"',
        'meter: output_tokens, per_million: "0.60"',
        'meter: input_tokens, tier: batch, per_million: "0.075"',
        'meter: output_tokens, tier: batch, per_million: "0.30"',
        'meter: cached_input_tokens, tier: batch, per_million: "0.0075"',
    ]
    usage: list[Usage] = [(NOON, {"input_tokens": 37_000_001, "output_tokens": 4_999_999})]
    assert exact_of(only(billing.bill(prices, usage))) == "8.54999955"
    by_meter = only(billing.bill(prices, usage, tier="batch"))
    assert [Decimal(line["unit_price"]) * 10**12 for line in by_meter["lines"]] == [75_000, 300_000]
    assert (exact_of(by_meter), by_meter["total"]) == ("4.274999775", "4.28")
    by_model = only(billing.bill(prices, usage, tier="batch", terms=BY_MODEL))
    assert told(by_model, "exact", "amount") == [("4.274999775", "4.27")]
    cached: list[Usage] = [(NOON, {"cached_input_tokens": 10**6})]
    assert told(only(billing.bill(prices, cached, tier="batch")), "unit_price", "exact") == [("0.0000000075", "0.0075")]


def test_10_lines_are_converted_one_by_one(billing: Billing) -> None:
    meters = ("input_tokens", "output_tokens", "audio_input_tokens")
    invoice = only(
        billing.bill(
            [f'meter: {meter}, per_million: "100.004"' for meter in meters],
            [(NOON, dict.fromkeys(meters, 10**6))],
            currency="EUR",
            terms='{kind: exchange, rate: "0.9183"}',
        ),
        "275.50",
        "91.84",
    )
    assert (exact_of(invoice), invoice["total"], invoice["residual"]) == ("275.5010196", "275.49", "0.0110196")


@pytest.mark.parametrize(
    ("currency", "rate", "exact", "amount"),
    [
        ("JPY", "151.37", "186876.5415", "186877"),
        ("KWD", "0.30712", "379.16049", "379.160"),
        ("EUR", "0.9183", "1133.70369", "1133.70"),
    ],
)
def test_10_no_amount_is_rounded_before_it_is_converted(
    billing: Billing, currency: str, rate: str, exact: str, amount: str
) -> None:
    """1,234.57 dollars would be 1,133.71 euro."""
    terms = f'{{kind: exchange, rate: "{rate}"}}'
    price = 'meter: images, each: "1234.567890123"'
    invoice = only(billing.bill([price], [(NOON, {"images": 1})], currency=currency, terms=terms), "1133.71")
    (line,) = invoice["lines"]
    assert line["exact"].startswith(exact)
    assert (line["amount"], invoice["total"]) == (amount, amount)


SMALL_REQUESTS = """
operator: {name: Contoso Cloud, currency: USD}
models: [{id: m, version: "1", partner: own, context_tokens: 1000000, stage: general}]
price_books:
  - {id: list, versions: [{effective_from: 2024-01-01, prices: [{model: m, meter: input_tokens, per_million: "0.15"}]}]}
customers: [{id: acme, name: Acme}]
contracts: [{customer: acme, effective_from: 2024-01-01, price_book: list}]
"""


@pytest.mark.parametrize(
    ("count", "kind", "amount", "wrong"), [(1_000_000, "parquet", "20.55", "21.00"), (100_000, "csv", "2.06", "2.10")]
)
def test_11_small_requests_do_not_vanish(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], count: int, kind: str, amount: str, wrong: str
) -> None:
    """137 tokens each at 0.15 a million: rounded by request, cents would be 0.00 and micro-dollars 2.19 % too much."""
    (tmp_path / "world.yaml").write_text(SMALL_REQUESTS)
    columns: dict[str, Any] = {
        "id": [f"{number:032x}" for number in range(count)],
        "admitted_at": ["2024-03-05T12:00:00Z"] * count,
        "customer": ["acme"] * count,
        "model": ["m"] * count,
        "input_tokens": [137] * count,
    }
    usage = tmp_path / f"usage.{kind}"
    (write_table if kind == "parquet" else write_csv)(table(columns), usage)
    status = main(
        ["bill", "--world", str(tmp_path / "world.yaml"), "--usage", str(usage), "--period", "2024-03", "--json"]
    )
    assert status == 0
    invoice = only(json.loads(capsys.readouterr().out), wrong, "0.00002", "0.000021")
    (line,) = invoice["lines"]
    assert (line["quantity"], line["amount"], invoice["total"]) == (str(137 * count), amount, amount)
    assert Decimal(line["exact"]) == Decimal("0.00002055") * count


@pytest.mark.parametrize(
    ("tokens", "rounding", "amount"),
    [
        (125, "half_up", "0.13"),
        (125, "half_even", "0.12"),
        (-125, "half_up", "-0.13"),
        (-125, "half_even", "-0.12"),
        (2665, "half_up", "2.67"),
        (2665, "half_even", "2.66"),
    ],
)
def test_11_ties_go_as_the_operator_says(billing: Billing, tokens: int, rounding: str, amount: str) -> None:
    price = 'meter: input_tokens, per_million: "1000"'
    lines, total = billing.lines([price], [(NOON, {"input_tokens": tokens})], rounding=rounding)
    assert ([line[2:] for line in lines], total) == ([(str(Decimal(tokens) / 1000), amount)], amount)
