"""Run-rates: both ways of making a month a year, growth, and quarters only where three months are there."""

from entrepot.core.invoices import Invoice
from entrepot.reporting.paper import run_rates_text
from entrepot.reporting.run_rate import run_rates


def invoice(period: str, net: str, currency: str = "USD") -> Invoice:
    return Invoice(period, period, "a", "A", "a@2024-01-01", currency, "2024-04-01T00:00:00Z", (), net, "0", net, "0")


MONTHS = [
    invoice("2023-12", "90.00"),
    invoice("2024-01", "100.00"),
    invoice("2024-02", "80.00"),
    invoice("2024-02", "30.00"),
]


def test_each_month_both_ways() -> None:
    (usd,) = run_rates(MONTHS)
    assert [(m.period, m.revenue, m.times_12, m.times_365_over_days, m.days) for m in usd.months] == [
        ("2023-12", "90.00", "1080.00", "1059.68", 31),
        ("2024-01", "100.00", "1200.00", "1177.42", 31),
        ("2024-02", "110.00", "1320.00", "1384.48", 29),
    ]


def test_growth_and_quarters_need_the_months_before() -> None:
    (usd,) = run_rates(MONTHS)
    assert [month.change_percent for month in usd.months] == [None, "11.11", "10.00"]
    assert [month.quarter_times_4 for month in usd.months] == [None, None, "1200.00"]
    (gap,) = run_rates([invoice("2024-01", "5.00"), invoice("2024-03", "5.00")])
    assert [month.change_percent for month in gap.months] == [None, None]


def test_currencies_are_kept_apart() -> None:
    assert [one.currency for one in run_rates([*MONTHS, invoice("2024-01", "7", "JPY")])] == ["JPY", "USD"]
    assert run_rates([]) == ()


def test_on_paper() -> None:
    assert run_rates_text(run_rates(MONTHS)).splitlines() == [
        "Run-rate in USD (invoices, net of tax)",
        "",
        "  month     revenue    change   month x 12     month x 365/days   three months x 4",
        "  ────────────────────────────────────────────────────────────────────────────────",
        "  2023-12     90.00               1,080.00   1,059.68 (31 days)",
        "  2024-01    100.00   11.11 %     1,200.00   1,177.42 (31 days)",
        "  2024-02    110.00   10.00 %     1,320.00   1,384.48 (29 days)           1,200.00",
    ]
