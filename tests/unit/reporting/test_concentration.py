"""Concentration: the reference scenario, groups, ties, and a total that is the invoices' to the cent."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.errors import NotFound
from entrepot.core.invoices import Invoice
from entrepot.core.money import PICO, format_pico, parse_pico
from entrepot.core.periods import Period
from entrepot.core.tenancy import Customer
from entrepot.reporting.concentration import Concentration, concentration, group_of, hhi, revenues
from entrepot.reporting.figures import decimal_text, money_text
from entrepot.reporting.paper import concentration_text

MARCH = Period(2024, 3)
SHARES = {"a": 62, "b": 15, "c": 9, "d": 6, "e": 5, "f": 3}


def report(amounts: dict[str, int], parents: dict[str, str] | None = None) -> Concentration:
    customers = {name: Customer(name, name.upper(), (parents or {}).get(name, "")) for name in amounts}
    invoices = [invoice(name, f"{amount}.00") for name, amount in amounts.items()]
    return concentration(MARCH, "USD", revenues(invoices, customers)["USD"])


def invoice(customer: str, net: str, currency: str = "USD", period: str = "2024-03") -> Invoice:
    return Invoice(
        number=f"{period}-{customer}",
        period=period,
        customer=customer,
        customer_name=customer.upper(),
        contract=f"{customer}@2024-01-01",
        currency=currency,
        issued_at="2024-04-01T00:00:00Z",
        lines=(),
        net=net,
        tax="999.00",
        total=net,
        residual="0.00",
    )


def test_the_reference_scenario() -> None:
    found = report(SHARES)
    assert found.hhi.customers == found.hhi.groups == "4220.00"
    assert found.customers[1].cumulative_percent == "77.00"
    assert [one.share_percent for one in found.major_customers] == ["62.00", "15.00"]
    assert found.hhi.groups_without_largest == "2603.88"
    assert found.hhi.band == "highly concentrated"


def test_the_reference_scenario_under_common_control() -> None:
    found = report(SHARES, {"d": "group", "e": "group"})
    assert [(one.group, one.share_percent) for one in found.major_customers] == [
        ("a", "62.00"),
        ("b", "15.00"),
        ("group", "11.00"),
    ]
    assert (found.hhi.customers, found.hhi.groups) == ("4220.00", "4280.00")
    assert found.major_customers[2].customers == ("d", "e")


def test_ten_percent_is_reached_at_ten_percent_exactly() -> None:
    assert [one.group for one in report({"a": 10, "b": 90}).major_customers] == ["b", "a"]
    assert [one.group for one in report({"a": 9, "b": 91}).major_customers] == ["b"]
    shy = {"a": 9_999_999, "b": 90_000_001}
    assert [one.group for one in report(shy).major_customers] == ["b"]
    assert report(shy).customers[1].share_percent == "10.00"  # printed as 10.00, and still below


def test_shares_of_the_first() -> None:
    found = report({f"c{number:02d}": 100 - number for number in range(20)})
    total = sum(100 - number for number in range(20))
    assert found.top_1_percent == decimal_text(Fraction(100 * 100, total))
    assert found.top_5_percent == decimal_text(Fraction(490 * 100, total))
    assert found.top_10_percent == decimal_text(Fraction(955 * 100, total))
    assert [one.customer for one in found.customers[:2]] == ["c00", "c01"]


def test_one_customer_is_everything() -> None:
    found = report({"a": 7})
    assert (found.hhi.customers, found.hhi.groups_without_largest) == ("10000.00", None)
    assert found.top_10_percent == "100.00"


def test_the_run_rate_is_given_both_ways() -> None:
    rate = concentration(Period(2025, 1), "USD", revenues([invoice("a", "1387654.32")], {})["USD"]).run_rate
    assert (rate.times_12, rate.times_365_over_days, rate.days) == ("16651851.84", "16338510.54", 31)


def test_currencies_are_kept_apart() -> None:
    found = revenues([invoice("a", "10.00"), invoice("a", "7", "JPY"), invoice("a", "0.50")], {})
    assert {currency: [one.pico for one in each] for currency, each in found.items()} == {
        "USD": [parse_pico("10.50")],
        "JPY": [7 * PICO],
    }
    assert concentration(MARCH, "JPY", found["JPY"]).revenue == "7"


@pytest.mark.parametrize("net", ["0.00", "-5.00"])
def test_without_revenue_there_are_no_shares(net: str) -> None:
    with pytest.raises(NotFound, match="entrepot close 2024-03"):
        concentration(MARCH, "USD", revenues([invoice("a", net)], {})["USD"])


@pytest.mark.parametrize(
    ("parents", "group"),
    [
        ({}, "a"),
        ({"a": "holding"}, "holding"),
        ({"a": "b", "b": "top"}, "top"),
        ({"a": "b", "b": "a"}, "a"),
        ({"a": "b", "b": "c", "c": "b"}, "b"),
    ],
)
def test_a_group_is_the_top_of_the_parents(parents: dict[str, str], group: str) -> None:
    customers = {name: Customer(name, name, parents.get(name, "")) for name in ("a", "b", "c")}
    assert group_of("a", customers) == group


@given(st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.integers(1, 10**12), min_size=1, max_size=12))
def test_the_total_is_the_sum_of_the_invoices_and_nobody_is_lost(cents: dict[str, int]) -> None:
    invoices = [invoice(name, format_pico(amount * PICO // 100, 2)) for name, amount in cents.items()]
    found = concentration(MARCH, "USD", revenues(invoices, {})["USD"])
    assert parse_pico(found.revenue) == sum(parse_pico(one.net) for one in invoices)
    assert sum(parse_pico(one.revenue) for one in found.customers) == parse_pico(found.revenue)
    assert sum(parse_pico(one.revenue) for one in found.groups) == parse_pico(found.revenue)
    assert found.customers[-1].cumulative_percent == "100.00"


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
def test_the_index_lies_between_its_bounds(amounts: list[int]) -> None:
    shares = [Fraction(amount, sum(amounts)) for amount in amounts]
    assert Fraction(10_000, len(amounts)) <= hhi(shares) <= 10_000


def test_the_report_on_paper() -> None:
    text = concentration_text(report(SHARES, {"d": "group", "e": "group"}), shown=3)
    assert text.splitlines() == [
        "Concentration of revenue in 2024-03, USD (invoices of the month, net of tax)",
        "",
        "  #   customer   group   revenue      share   cumulative",
        "  ──────────────────────────────────────────────────────",
        "  1   A                    62.00    62.00 %      62.00 %",
        "  2   B                    15.00    15.00 %      77.00 %",
        "  3   C                     9.00     9.00 %      86.00 %",
        "      3 others             14.00    14.00 %     100.00 %",
        "  ──────────────────────────────────────────────────────",
        "      total               100.00   100.00 %",
        "",
        "  largest customer       62.00 %",
        "  five largest           97.00 %",
        "  ten largest            100.00 %",
        "  HHI by customer        4,220.00",
        "  HHI by group           4,280.00, highly concentrated; 3,019.39 without the largest",
        "  run-rate, month x 12   1,200.00 a year",
        "  run-rate, by days      1,177.42 a year (month x 365/31)",
        "",
        "Customers and groups of 10 percent of revenue or more, to be disclosed (ASC 280-10-50-42):",
        "",
        "  group   customers   revenue     share",
        "  ─────────────────────────────────────",
        "  a       a             62.00   62.00 %",
        "  b       b             15.00   15.00 %",
        "  group   d, e          11.00   11.00 %",
    ]


def test_nobody_at_ten_percent_is_said_too() -> None:
    text = concentration_text(report({f"c{number}": 1 for number in range(11)}), shown=20)
    assert text.endswith("No customer or group reaches 10 percent of revenue (ASC 280-10-50-42).")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(1, 3), "0.33"),
        (Fraction(1, 8), "0.13"),
        (Fraction(-1, 8), "-0.13"),
        (Fraction(-1, 1000), "0.00"),
        (Fraction(999_995, 10**6), "1.00"),
    ],
)
def test_fractions_are_rounded_once_and_away_from_zero(value: Fraction, text: str) -> None:
    assert decimal_text(value) == text


def test_amounts_are_written_for_people() -> None:
    assert money_text(Fraction(10**12, 3), "USD") == "0.33"
    assert money_text(Fraction(10**12, 2), "JPY") == "1"
    just_below_half_a_cent = 5 * 10**9 - Fraction(1, 3)
    assert money_text(just_below_half_a_cent, "USD") == "0.00", "rounded once, not to pico first"
