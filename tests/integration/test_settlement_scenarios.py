"""Worked examples of settling with a partner, each through `entrepot bill` on a world file."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.bills import Billing

PRICE = ['meter: input_tokens, per_million: "1"']
WORLD = """
partners: [{{id: openai, name: OpenAI}}]
agreements:
{agreements}
partner_reports: [{reports}]
"""
REPORTS = (
    '{partner: openai, kind: direct_sales_share, period: 2024-03, sales: "3400000"}, '
    '{partner: openai, kind: capacity_rental, period: 2024-03, units: "1234.5"}'
)
RESALE = '{partner: openai, kind: resale_share, direction: pay, percent: "20", from: 2023-01-01, to: 2026-04-27}'
SALES = '{partner: openai, kind: direct_sales_share, direction: receive, percent: "20", lifetime_cap: "650000"}'
RENTAL = '{partner: openai, kind: capacity_rental, direction: receive, unit: gpu_hour, each: "2.1735"}'


@pytest.fixture
def billing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Billing:
    return Billing(tmp_path, capsys)


def settled(billing: Billing, period: str, sold: dict[str, int], *agreements: str, **more: Any) -> dict[str, Any]:
    """The one statement of a period. sold: {admitted at: dollars}."""
    reports = REPORTS if len(agreements) > 1 else ""
    world = WORLD.format(agreements="\n".join(f"  - {agreement}" for agreement in agreements), reports=reports)
    usage = [(at, {"input_tokens": dollars * 10**6}) for at, dollars in sold.items()]
    (statement,) = billing.bill(PRICE, usage, period, partner="openai", more=world, **more)["settlements"]
    statement["documents"] = [
        tuple(item[name] for name in ("kind", "direction", "base", "amount", "cap_left"))
        for item in statement["documents"]
    ]
    found: dict[str, Any] = statement
    return found


def test_shares_both_ways_a_cap_and_a_rental(billing: Billing) -> None:
    statement = settled(billing, "2024-03", {"2024-03-05T12:00:00Z": 1_231_250}, RESALE, SALES, RENTAL)
    assert sorted(statement["documents"]) == [
        ("capacity_rental", "receive", "1234.5", "2683.19", None),
        ("direct_sales_share", "receive", "3400000.00", "650000.00", "0.00"),
        ("resale_share", "pay", "1231250.00", "246250.00", None),
    ]
    assert statement["net"] == "406433.19"


@pytest.mark.parametrize("terms", ["", "{kind: lines, grain: model}"])
def test_a_share_ends_in_the_middle_of_a_month(billing: Billing, terms: str) -> None:
    """By the instant of admission: what was used from 27 April 2026, 00:00 UTC, is not shared any more."""
    sold = {"2026-04-10T08:00:00Z": 1_000_000, "2026-04-26T23:59:59Z": 50_000, "2026-04-27T00:00:00Z": 181_250}
    statement = settled(billing, "2026-04", sold, RESALE, terms=terms)
    assert statement["documents"] == [("resale_share", "pay", "1050000.00", "210000.00", None)]


def test_invoices_in_another_currency_are_converted_for_the_statement(billing: Billing) -> None:
    """1,000 dollars are invoiced as 918.30 euro; the statement takes them at the rate of the month's end."""
    statement = settled(
        billing,
        "2024-03",
        {"2024-03-05T12:00:00Z": 1_000},
        RESALE,
        currency="EUR",
        rates=", ".join(
            f"{{from: {sold}, to: {bought}, rate: '{rate}', on: 2024-01-01}}"
            for sold, bought, rate in (("USD", "EUR", "0.9183"), ("EUR", "USD", "1.08"))
        ),
    )
    assert statement["documents"] == [("resale_share", "pay", "991.76", "198.35", None)]
