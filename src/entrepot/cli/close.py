"""`entrepot close`: ends a month: its usage is complete, its invoices are numbered and frozen."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, folding, period_of, progress, settings_of, show
from entrepot.cli.invoice import invoice_rows

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.invoices import Invoice


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `close`."""
    parser = add_command(subparsers, "close", "end a month and issue its invoices; may be run again", _close)
    parser.add_argument("period", metavar="YYYY-MM", help="a month that is over in the zone of every contract")


def _close(args: argparse.Namespace) -> int:
    from entrepot.compose.closing import close_period

    period = period_of(args.period)
    invoices, new = close_period(settings_of(args), str(period), folding, progress)
    progress("")
    document = {"period": str(period), "issued": new, "invoices": invoices}
    show(args, document, _lines(str(period), invoices, new))
    return 0


def _lines(period: str, invoices: "list[Invoice]", new: list[str]) -> Iterator[str]:
    issued = f"{len(new)} invoice{'' if len(new) == 1 else 's'} issued"
    earlier = f", {len(invoices) - len(new)} issued before" if len(invoices) > len(new) else ""
    yield f"{period} is closed: {issued}{earlier}"
    yield from invoice_rows(invoices)
