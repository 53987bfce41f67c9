"""`entrepot ledger …`: the balances of the journal, the hash that vouches for it, and all of it as a file."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, check_export, settings_of, show, table
from entrepot.core.money import format_pico, grouped
from entrepot.core.periods import format_instant

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers

_EMPTY = "nothing is posted yet: usage is when its hour is over, and until then `entrepot usage list` has it"


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `ledger show` and `ledger export`."""
    group = add_group(subparsers, "ledger", "look at the double-entry ledger, or take it elsewhere")
    add_command(group, "show", "show the balances of all accounts", _show)
    export = add_command(group, "export", "write the journal as a file that another ledger's tool checks", _export)
    export.add_argument("--format", choices=("beancount", "hledger"), required=True)
    export.add_argument("--out", type=Path, metavar="FILE", help="where to; standard output without it")


def _show(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.flows.show_bill import ledger_state

    with open_current_books(settings_of(args)) as books, books.snapshot():
        state, balances, watermark = ledger_state(books), books.balances(), books.watermark()
    rows = [(account, format_pico(pico, 2), currency) for (account, currency), pico in sorted(balances.items())]
    document = {
        "entries": state.entries,
        "root": state.root,
        "balanced": state.balanced,
        "accrued_before": format_instant(watermark),
        "balances": [
            {"account": account, "balance": amount, "currency": currency} for account, amount, currency in rows
        ],
    }
    digits = max((len(amount.partition(".")[2]) for _, amount, _ in rows), default=0)  # So that points are aligned.
    shown = [
        (account, grouped(amount) + " " * (digits - len(amount.partition(".")[2])), currency)
        for account, amount, currency in rows
    ]
    lines = [
        *(table([("account", "balance", ""), *shown], right=(1,)) if shown else [_EMPTY]),
        "",
        f"{state.entries:,} entries, {'balanced' if state.balanced else 'NOT BALANCED'}, {state.root}",
        *([f"accrued before {format_instant(watermark)}"] if watermark else []),  # Else only what closed months hold.
    ]
    show(args, document, lines)
    return 0 if state.balanced else 1


def _export(args: argparse.Namespace) -> int:
    from entrepot.compose.exports import export_ledger

    check_export(args)
    entries = export_ledger(settings_of(args), args.out, args.format)
    if args.out is not None:
        document = {"file": str(args.out), "format": args.format, "entries": entries}
        show(args, document, [f"{entries:,} entries in {args.out}"])
    return 0
