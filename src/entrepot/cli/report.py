"""`entrepot report …`: what the books mean to whoever runs the business."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, period_of, settings_of, show, table
from entrepot.core.errors import NotFound
from entrepot.core.periods import instant_of

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers

SHOWN = 20


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `report concentration`, `report run-rate`, `report seats` and `report retirements`."""
    group = add_group(
        subparsers, "report", "revenue: on whom it hangs, what it comes to in a year; what is retired when"
    )
    parser = add_command(group, "concentration", "how much of a month's revenue hangs on whom", _concentration)
    parser.add_argument("--period", required=True, metavar="YYYY-MM", help="a month that was closed")
    parser.add_argument("--currency", metavar="XXX", help="of the invoices; the operator's own without it")
    parser.add_argument("--top", type=int, default=SHOWN, metavar="N", help=f"customers shown by name ({SHOWN})")
    add_command(group, "run-rate", "invoiced months, each as the year it would make", _run_rate)
    seats = add_command(group, "seats", "seats that are bought, assigned and used; cohorts of customers", _seats)
    seats.add_argument("--period", required=True, metavar="YYYY-MM", help="a month, closed or not")
    seats.add_argument("--users", action="store_true", help="what was used with each seat")
    add_command(
        group,
        "retirements",
        "deployments whose models are not there for good, by date, and what becomes of them",
        _retirements,
    )


def _concentration(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.reporting.concentration import concentration, revenues
    from entrepot.reporting.paper import concentration_text

    period = period_of(args.period)
    with open_current_books(settings_of(args)) as books:
        invoices, declared = books.invoices(str(period)), books.world()
    if declared is None or not invoices:
        raise NotFound(f"{period} has no invoices yet; close the month first: entrepot close {period}")
    world = declared[1]
    at = period.end("UTC") - 1
    found = revenues(invoices, {customer.id: customer.at(at) for customer in world.customers})
    currency = args.currency or (world.operator.currency if world.operator.currency in found else min(found))
    if currency not in found:
        raise NotFound(f"{period} has revenue in {', '.join(sorted(found))}, none in {currency}")
    report = concentration(period, currency, found[currency])
    others = sorted(set(found) - {currency})
    lines = concentration_text(report, max(0, args.top)).splitlines()
    if others:
        lines += ["", f"Also invoiced in {', '.join(others)}, which is not added in; see --currency."]
    show(args, report, lines)
    return 0


def _run_rate(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.reporting.paper import run_rates_text
    from entrepot.reporting.run_rate import run_rates

    with open_current_books(settings_of(args)) as books:
        rates = run_rates(books.invoices())
    if not rates:
        raise NotFound("nothing was invoiced yet; close a month first: entrepot close YYYY-MM")
    show(args, {"currencies": rates}, run_rates_text(rates).splitlines())
    return 0


def _seats(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.flows.show_seats import show_seats
    from entrepot.reporting.paper import seats_text

    period = period_of(args.period)
    with open_current_books(settings_of(args)) as books:
        report = show_seats(books, period)
    if report is None:
        raise NotFound(f"no subscription has begun by {period}; a world file declares them under subscriptions")
    show(args, report, seats_text(report, users=args.users).splitlines())
    return 0


def _retirements(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.reporting.retirements import retirement_rows, retirements

    with open_current_books(settings_of(args)) as books:
        declared = books.world()
    if declared is None:
        raise NotFound("no world is applied yet; run entrepot apply")
    rows = retirements(declared[1], instant_of(datetime.now(UTC)))
    none = ["No deployment is of a model that is in preview, has dates or a successor, or is retired."]
    show(args, {"deployments": rows}, table(retirement_rows(rows), right=(6,)) if rows else none)
    return 0
