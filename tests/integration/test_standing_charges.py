"""Worked examples of bills of what no request tells: provisioned units, seats, credit; through `entrepot bill`."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.bills import Billing


@pytest.fixture
def billing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Billing:
    return Billing(tmp_path, capsys)


def deployed(units: str, says: str = "") -> str:
    """Sections that give acme a provisioned deployment of m. units: as declared."""
    return (
        "projects: [{id: p, customer: acme}]\n"
        f"deployments: [{{id: d, project: p, model: m, kind: provisioned, units: {units}{says}}}]\n"
    )


HOURLY = 'meter: provisioned_unit_hours, each: "1.00"'
RESIZED = (
    '[{from: "2024-03-05T10:20:00Z", units: 100}, {from: "2024-03-05T11:30:00Z", units: 150}, '
    '{from: "2024-03-05T13:15:00Z", units: 0}]'
)
QUARTER = (
    '[{from: "2024-03-05T00:00:00Z", units: 100}, {from: "2024-03-05T00:15:00Z", units: 150}, '
    '{from: "2024-03-05T01:00:00Z", units: 0}]'
)
RESERVED = (
    '{kind: reservation, units: 100, each_hour: "0.35", from: "2024-03-05T10:00:00Z", to: "2024-03-05T14:00:00Z"}'
)


def test_provisioned_units_are_charged_by_the_minute(billing: Billing) -> None:
    """4,000 + 3,000 + 4,500 + 9,000 + 2,250 = 22,750 unit minutes."""
    lines, total = billing.lines([HOURLY], [], more=deployed(RESIZED))
    assert lines == [("provisioned_unit_hours", "379.166666666667", "379.166666666667", "379.17")]
    assert total == "379.17"


def test_a_reservation_covers_units_minute_by_minute(billing: Billing) -> None:
    """Of 24,000 reserved unit minutes 17,500 are used; 5,250 more cost the list price."""
    (invoice,) = billing.bill([HOURLY], [], more=deployed(RESIZED), terms=RESERVED)["invoices"]
    overage, reservation = invoice["lines"]
    assert (overage["quantity"], overage["exact"], overage["amount"]) == ("87.5", "87.5", "87.50")
    assert (reservation["kind"], reservation["quantity"], reservation["unit_price"]) == ("reservation", "400", "0.35")
    assert (reservation["exact"], reservation["amount"]) == ("140", "140.00")
    assert reservation["shares"] == [
        {"name": "used", "quantity": "291.666666666667", "exact": "102.083333333333"},
        {"name": "unused", "quantity": "108.333333333333", "exact": "37.916666666667"},
    ]
    assert (invoice["total"], invoice["residual"]) == ("227.50", "0")


@pytest.mark.parametrize(
    ("units", "term", "amounts"),
    [
        (
            QUARTER,
            "",
            ["137.50"],
        ),
        (
            '[{from: "2024-03-05T10:00:00Z", units: 600}, {from: "2024-03-05T11:00:00Z", units: 0}]',
            RESERVED.replace("units: 100", "units: 500").replace("14:00", "11:00"),
            ["100.00", "175.00"],
        ),
        ("[{from: 2024-03-05, units: 0}]", RESERVED, ["140.00"]),
    ],
)
def test_more_bills_of_units(billing: Billing, units: str, term: str, amounts: list[str]) -> None:
    (invoice,) = billing.bill([HOURLY], [], more=deployed(units), terms=term)["invoices"]
    assert [line["amount"] for line in invoice["lines"]] == amounts


def test_requests_of_a_provisioned_deployment_cost_nothing_beside_its_units(billing: Billing) -> None:
    """While it has units; before them, its usage costs what anybody's does."""
    usage = [
        ("2024-03-05T11:00:00Z", {"input_tokens": 5_000_000}),
        ("2024-03-04T12:00:00Z", {"input_tokens": 10**6}),
    ]
    told = billing.bill([HOURLY, 'meter: input_tokens, per_million: "2"'], usage, more=deployed(RESIZED))
    (invoice,) = told["invoices"]
    assert [(line["meter"], line["price_class"], line["amount"]) for line in invoice["lines"]] == [
        ("input_tokens", "", "2.00"),
        ("input_tokens", "provisioned", "0.00"),
        ("provisioned_unit_hours", "", "379.17"),
    ]


def test_a_geography_has_its_own_price_and_its_own_reservations(billing: Billing) -> None:
    regional = f"{HOURLY.replace('1.00', '2.00')}, geography: regional"
    more = deployed(RESIZED, ", geography: regional").replace("units: 100", "units: 150")
    (invoice,) = billing.bill(
        [HOURLY, regional],
        [],
        more=more,
        terms=f"{RESERVED.replace('}', ', geography: global}')}, {{kind: discount, percent: '50', models: [m]}}",
    )["invoices"]
    assert [(line["price_class"], line["unit_price"], line["amount"]) for line in invoice["lines"]] == [
        ("regional", "1", "437.50"),
        ("reservation-1", "0.35", "140.00"),
    ]
    assert [share["quantity"] for share in invoice["lines"][1]["shares"]] == ["0", "400"]


def test_units_are_in_the_month_of_the_contracts_zone(billing: Billing) -> None:
    """Midnight in Kolkata is half past an hour of UTC; the months before are on their own invoices."""
    units = "[{from: 2024-02-29T17:30:00Z, units: 60}, {from: 2024-02-29T19:30:00Z, units: 0}]"
    for period in ("2024-02", "2024-03"):
        lines, total = billing.lines([HOURLY], [], period, more=deployed(units), zone="Asia/Kolkata")
        assert (lines, total) == ([("provisioned_unit_hours", "60", "60", "60.00")], "60.00")


def test_units_that_have_no_price_cannot_be_billed(billing: Billing) -> None:
    """The version before has none; a number without a date counts from the beginning of the contract."""
    more = deployed("100")
    assert billing.refused([HOURLY], [], more=more, effective_from="2024-03-10") == (
        "entrepot: deployment p/d has 100 units from 2024-01-01T00:00:00Z, and price book list has no price then for "
        "provisioned_unit_hours of model m; declare it\n"
    )


@pytest.mark.parametrize("units", [12, 17])
def test_deployments_of_impossible_sizes_are_rejected(billing: Billing, units: int) -> None:
    assert f"{units} units are not possible" in billing.refused([HOURLY], [], more=deployed(str(units)))


def subscribed(seats: str, more: str = "") -> str:
    """A subscription of acme from January on, at 30 a seat and month."""
    return (
        'subscriptions:\n  - {id: assistant, customer: acme, each_month: "30", minimum: 300, from: 2024-01-01, '
        f"seats: {seats}{more}}}\n"
    )


ADDED = "[{from: 2024-01-01, seats: 300}, {from: 2024-02-10, seats: 320}, {from: 2025-01-01, seats: 310}]"
TOKENS_AT_100 = 'meter: input_tokens, per_million: "100"'


def invoice_lines(billing: Billing, period: str, **of: Any) -> tuple[list[tuple[str, ...]], str]:
    (invoice,) = billing.bill([TOKENS_AT_100], [], period, **of)["invoices"]
    told = [
        tuple(str(line[name]) for name in ("kind", "price_class", "quantity", "amount")) for line in invoice["lines"]
    ]
    return told, invoice["total"]


@pytest.mark.parametrize(
    ("period", "lines", "total"),
    [
        ("2024-01", [("", "300", "9000.00")], "9000.00"),
        # Twenty seats for the 20 of 29 days from the tenth on.
        ("2024-02", [("", "300", "9000.00"), ("added", "13.793103448276", "413.79")], "9413.79"),
        ("2024-03", [("", "320", "9600.00")], "9600.00"),
        ("2025-01", [("", "310", "9300.00")], "9300.00"),
    ],
)
def test_seats_are_charged_by_the_month_and_added_ones_by_their_days(
    billing: Billing, period: str, lines: list[tuple[str, ...]], total: str
) -> None:
    told = invoice_lines(billing, period, more=subscribed(ADDED))
    assert told == ([("subscription", *line) for line in lines], total)


def test_seats_that_are_assigned_and_not_bought_are_trued_up_until_the_term_ends(billing: Billing) -> None:
    """Two more users than seats, from 17 February on, and gone in March: two seats stay until the year is over."""
    users = [f"{{user: u{number}, from: 2024-01-01}}" for number in range(300)]
    users += [f"{{user: v{number}, from: 2024-02-17, to: 2024-03-05}}" for number in range(2)]
    more = subscribed("300", f", assignments: [{', '.join(users)}]")
    assert invoice_lines(billing, "2024-02", more=more)[0][1] == (
        "subscription",
        "true_up",
        "0.896551724138",  # 2 x 13 / 29
        "26.90",
    )
    assert invoice_lines(billing, "2024-12", more=more)[0][1] == ("subscription", "true_up", "2", "60.00")
    assert invoice_lines(billing, "2025-01", more=more) == ([("subscription", "", "300", "9000.00")], "9000.00")


@pytest.mark.parametrize(
    ("seats", "more", "message"),
    [
        (
            "[{from: 2024-01-01, seats: 320}, {from: 2024-06-01, seats: 310}]",
            "",
            "seats cannot go from 320 to 310 on 2024-06-01T00:00:00Z, within a term; they can when it ends, on 2025",
        ),
        ("299", "", "299 seats are fewer than its minimum of 300"),
        ("300", ", to: 2024-06-01", "to must be the end of a term of 12 months"),
        ("[{from: 2024-02-01, seats: 300}]", "", "seats must begin when the subscription does"),
    ],
)
def test_seats_that_cannot_be_are_refused(billing: Billing, seats: str, more: str, message: str) -> None:
    assert message in billing.refused([TOKENS_AT_100], [], more=subscribed(seats, more))


def test_seats_count_towards_a_minimum_and_end_with_their_term(billing: Billing) -> None:
    more = subscribed("300", ", months: 3, to: 2024-04-01")
    term = '{kind: minimum, monthly: "10000"}'
    assert invoice_lines(billing, "2024-03", more=more, terms=term)[0] == [
        ("subscription", "", "300", "9000.00"),
        ("minimum", "", "0", "1000.00"),
    ]
    assert invoice_lines(billing, "2024-04", more=more, terms=term)[0] == [("minimum", "", "0", "10000.00")]


CREDITS = (
    '{kind: credit, amount: "100.00", from: 2024-01-01, expires: 2024-04-01}, '
    '{kind: credit, amount: "30.00", from: 2024-01-01, expires: 2024-03-01, payment: granted}'
)


def credited(billing: Billing, period: str, terms: str = CREDITS) -> tuple[list[tuple[str, ...]], str]:
    """40.00 in January, 50.00 in February, 20.00 in March."""
    usage = [
        (f"2024-{month:02d}-05T12:00:00Z", {"input_tokens": 10_000 * cost})
        for month, cost in ((1, 40), (2, 50), (3, 20))
    ]
    (invoice,) = billing.bill([TOKENS_AT_100], usage, period, terms=terms)["invoices"]
    return [(line["kind"], line["price_class"], line["amount"]) for line in invoice["lines"]], invoice["total"]


def test_credit_pays_the_one_that_expires_first_first(billing: Billing) -> None:
    assert credited(billing, "2024-01") == (
        [
            ("usage", "", "40.00"),
            ("credit_used", "credit-1", "-10.00"),
            ("credit_bought", "credit-1", "100.00"),
            ("credit_used", "credit-2", "-30.00"),
        ],
        "100.00",
    )
    assert credited(billing, "2024-02") == ([("usage", "", "50.00"), ("credit_used", "credit-1", "-50.00")], "0.00")
    assert credited(billing, "2024-03") == ([("usage", "", "20.00"), ("credit_used", "credit-1", "-20.00")], "0.00")


def test_what_is_above_a_cap_is_not_billed(billing: Billing) -> None:
    assert credited(billing, "2024-02", '{kind: cap, monthly: "45"}') == (
        [("usage", "", "50.00"), ("cap", "", "-5.00")],
        "45.00",
    )
    assert credited(billing, "2024-01", '{kind: cap, monthly: "45"}') == ([("usage", "", "40.00")], "40.00")
    both = f'{{kind: cap, monthly: "45"}}, {CREDITS}'
    assert credited(billing, "2024-02", both)[0][1:] == [("cap", "", "-5.00"), ("credit_used", "credit-1", "-45.00")]


def test_units_that_no_contract_is_for_cannot_be_billed(billing: Billing) -> None:
    """They may neither begin before the first contract nor stand when the last one is over."""
    early = deployed("[{from: 2023-12-31, units: 100}]")
    assert "when customer acme has no contract" in billing.refused([HOURLY], [], more=early)
    assert billing.refused([HOURLY], [], more=deployed("100"), since="2024-01-01, effective_to: 2024-03-20") == (
        "entrepot: deployment p/d has 100 units on 2024-03-20T00:00:00Z, and customer acme has no contract then; "
        "declare one, or when the units end\n"
    )
