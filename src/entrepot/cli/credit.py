"""`entrepot invoice credit`: gives back lines of an issued invoice."""

import argparse
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, folding, progress, settings_of, show

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers


def add_credit(group: "Subparsers") -> None:
    """Adds `invoice credit`."""
    parser = add_command(group, "credit", "give back lines of an invoice with a credit note", _credit)
    parser.add_argument("number", help="of the invoice")
    parser.add_argument("--line", type=int, action="append", metavar="N", required=True, help="a line; may be repeated")
    parser.add_argument("--amount", metavar="X", help="of the one line named, before tax; all that is left without it")
    parser.add_argument("--reason", required=True, help="printed on the credit note")


def _credit(args: argparse.Namespace) -> int:
    from entrepot.compose.closing import credit_lines

    if args.amount is not None and len(args.line) > 1:
        args.parser.error("--amount needs exactly one --line")
    lines = [(number, args.amount or "") for number in args.line]
    note = credit_lines(settings_of(args), args.number, lines, args.reason, folding)
    progress("")
    show(args, note, [f"credit note {note.number} of {note.corrects}: {note.total} {note.currency}"])
    return 0
