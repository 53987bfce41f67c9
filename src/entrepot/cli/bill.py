"""`entrepot bill`: what a month would be invoiced at, from a world and usage in files. Touches no data directory."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, period_of, progress, reading, show
from entrepot.cli.invoice import line_table
from entrepot.cli.settle import statement_lines
from entrepot.cli.world import read_world_files

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.flows.show_bill import Bill
    from entrepot.ports.usage_rows import RowFault

_FAULTS_SHOWN = 20


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `bill`."""
    parser = add_command(subparsers, "bill", "invoices of a month from files alone; nothing is kept", _bill)
    parser.add_argument("--world", nargs="+", type=Path, required=True, metavar="WORLD.yaml")
    parser.add_argument(
        "--usage", nargs="+", type=Path, default=[], metavar="FILE", help="JSON Lines, CSV or Parquet; may be empty"
    )
    parser.add_argument("--period", required=True, metavar="YYYY-MM")


def _bill(args: argparse.Namespace) -> int:
    from entrepot.bills import bill
    from entrepot.compose.books import open_scratch_books
    from entrepot.compose.usage_input import usage_events

    period = period_of(args.period)
    world = read_world_files(args.world)
    faults: list[tuple[Path, RowFault]] = []
    # A month may have units, seats and reservations, and no requests.
    paths = [path for path in args.usage if not path.is_file() or path.stat().st_size]
    events = usage_events(paths, lambda path, found: faults.extend((path, fault) for fault in found), reading)
    with open_scratch_books() as books:
        found = bill(books, world, events, str(period))
    progress("")
    show(args, found, _lines(found))
    for path, fault in faults[:_FAULTS_SHOWN]:
        sys.stderr.write(f"{path}:{fault.line}: {fault.reason}\n")
    if faults:
        sys.stderr.write(f"entrepot: {len(faults):,} rows cannot be used and are not on the bill\n")
    return 1 if faults else 0


def _lines(bill: "Bill") -> Iterator[str]:
    for invoice in bill.invoices:
        yield f"{invoice.customer_name}   {bill.period}   contract {invoice.contract}"
        yield from line_table(invoice.lines)
        yield f"net {invoice.net}, tax {invoice.tax}, total {invoice.total} {invoice.currency}"
        yield f"rounding left over {invoice.residual} {invoice.currency}"
        yield ""
    if not bill.invoices:
        yield f"nothing to invoice in {bill.period}"
    for statement in bill.settlements:
        yield from statement_lines(statement)
    state = "balanced" if bill.ledger.balanced else "NOT BALANCED"
    yield f"ledger: {bill.ledger.entries:,} entries, {state}, {bill.ledger.root}"
    for waiting in bill.quarantine[:_FAULTS_SHOWN]:
        yield f"not on the bill ({waiting.kind}): {waiting.id}: {waiting.reason}"
    if len(bill.quarantine) > _FAULTS_SHOWN:
        yield f"… and {len(bill.quarantine) - _FAULTS_SHOWN:,} more that are not on the bill"
