"""The reports as plain text for a terminal or a mail: columns that line up, numbers that can be read."""

from collections.abc import Sequence

from entrepot.core.money import PICO, format_pico, grouped, minor_digits, parse_pico
from entrepot.reporting.concentration import Concentration
from entrepot.reporting.run_rate import RunRates
from entrepot.reporting.seats import SeatsReport

_GAP = "   "
NAME_WIDTH_MAX = 32


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: str) -> list[str]:
    """The lines of a table. right: a letter for each column, r for those set flush right, l for the others."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        placed = (
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(cells, widths, right, strict=True)
        )
        return ("  " + _GAP.join(placed)).rstrip()

    rule = "  " + "─" * (sum(widths) + len(_GAP) * (len(widths) - 1))
    return [line(header), rule, *(line(row) for row in rows)]


def concentration_text(report: Concentration, shown: int) -> str:
    """The report in words and columns; at most `shown` customers by name, the others as one line."""
    lines = [f"Concentration of revenue in {report.period}, {report.currency} ({report.basis})", ""]
    lines += _customers(report, shown)
    lines += ["", *_figures(report), "", *_major(report)]
    return "\n".join(lines)


def _customers(report: Concentration, shown: int) -> list[str]:
    named, others = report.customers[:shown], report.customers[shown:]
    rows = [
        [
            str(one.rank),
            _short(one.name),
            one.group if one.group != one.customer else "",
            grouped(one.revenue),
            f"{one.share_percent} %",
            f"{one.cumulative_percent} %",
        ]
        for one in named
    ]
    if others:
        rows.append(["", f"{len(others)} others", "", _rest(report, shown), _rest_percent(report, shown), "100.00 %"])
    rows.append(["", "total", "", grouped(report.revenue), "100.00 %", ""])
    lines = table(["#", "customer", "group", "revenue", "share", "cumulative"], rows, "rllrrr")
    return [*lines[:-1], lines[1], lines[-1]]


def _rest(report: Concentration, shown: int) -> str:
    pico = sum(parse_pico(one.revenue) for one in report.customers[shown:])
    return grouped(format_pico(pico, minor_digits(report.currency)))


def _rest_percent(report: Concentration, shown: int) -> str:
    last = report.customers[shown - 1].cumulative_percent if shown else "0.00"
    return f"{format_pico(100 * PICO - parse_pico(last), 2)} %"


def _figures(report: Concentration) -> list[str]:
    rate, hhi = report.run_rate, report.hhi
    without = f"; {grouped(hhi.groups_without_largest)} without the largest" if hhi.groups_without_largest else ""
    figures = [
        ("largest customer", f"{report.top_1_percent} %"),
        ("five largest", f"{report.top_5_percent} %"),
        ("ten largest", f"{report.top_10_percent} %"),
        ("HHI by customer", grouped(hhi.customers)),
        ("HHI by group", f"{grouped(hhi.groups)}, {hhi.band}{without}"),
        ("run-rate, month x 12", f"{grouped(rate.times_12)} a year"),
        ("run-rate, by days", f"{grouped(rate.times_365_over_days)} a year (month x 365/{rate.days})"),
    ]
    width = max(len(name) for name, _ in figures)
    return [f"  {name.ljust(width)}{_GAP}{value}" for name, value in figures]


def _major(report: Concentration) -> list[str]:
    if not report.major_customers:
        return ["No customer or group reaches 10 percent of revenue (ASC 280-10-50-42)."]
    lines = ["Customers and groups of 10 percent of revenue or more, to be disclosed (ASC 280-10-50-42):", ""]
    rows = [
        [one.group, ", ".join(one.customers), grouped(one.revenue), f"{one.share_percent} %"]
        for one in report.major_customers
    ]
    return lines + table(["group", "customers", "revenue", "share"], rows, "llrr")


def run_rates_text(rates: Sequence[RunRates]) -> str:
    """The run-rates of each currency in columns."""
    parts = []
    for one in rates:
        rows = [
            [
                month.period,
                grouped(month.revenue),
                f"{month.change_percent} %" if month.change_percent is not None else "",
                grouped(month.times_12),
                f"{grouped(month.times_365_over_days)} ({month.days} days)",
                grouped(month.quarter_times_4) if month.quarter_times_4 is not None else "",
            ]
            for month in one.months
        ]
        header = ["month", "revenue", "change", "month x 12", "month x 365/days", "three months x 4"]
        parts.append(
            "\n".join([f"Run-rate in {one.currency} (invoices, net of tax)", "", *table(header, rows, "lrrrrr")])
        )
    return "\n\n".join(parts)


def _short(name: str) -> str:
    return name if len(name) <= NAME_WIDTH_MAX else name[: NAME_WIDTH_MAX - 1] + "…"


def seats_text(report: SeatsReport, *, users: bool) -> str:
    """The seats of a month in columns, and the cohorts of the quarters until then. users: with what each user asked."""
    rows = [
        [
            item.subscription,
            _short(item.customer_name),
            item.product,
            grouped(str(item.seats)),
            grouped(str(item.assigned)),
            grouped(str(item.unassigned)),
            f"{grouped(item.unassigned_cost)} {item.currency}",
            grouped(str(item.trued_up)),
            f"{grouped(str(item.used))}" + (f" ({item.used_percent} %)" if item.used_percent else ""),
            item.requests_per_user or "",
        ]
        for item in report.subscriptions
    ]
    header = ["subscription", "customer", "product", "seats", "assigned", "unassigned", "at a cost of", "trued up"]
    header += ["used", "requests per user"]
    lines = [f"Seats in {report.period}", ""]
    lines += table(header, rows, "lllrrrrrrr") if rows else ["  none"]
    if users:
        for item in (item for item in report.subscriptions if item.users):
            use = [[one.user, grouped(str(one.requests)), grouped(str(one.tokens))] for one in item.users]
            lines += ["", f"Users of {item.subscription}", "", *table(["user", "requests", "tokens"], use, "lrr")]
    cohorts = [
        [
            one.product,
            one.quarter,
            _grouped_band(one.band),
            grouped(str(one.customers)),
            _signed(one.customers_change_percent),
            grouped(str(one.seats)),
            _signed(one.seats_change_percent),
        ]
        for one in report.cohorts
    ]
    columns = ["product", "quarter", "seats each", "customers", "change", "seats", "change"]
    return "\n".join([*lines, "", "Customers by seats", "", *table(columns, cohorts, "llrrrrr")])


def _grouped_band(band: str) -> str:
    """The band with commas between thousands: "1000-9999" -> "1,000-9,999"."""
    return "-".join(grouped(part.removesuffix("+")) for part in band.split("-")) + ("+" if band.endswith("+") else "")


def _signed(percent: str | None) -> str:
    if percent is None:
        return "new"
    return f"{percent} %" if percent.startswith("-") else f"+{percent} %"
