"""`entrepot settle`: states what a closed month comes to between the operator and its partners."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, folding, period_of, progress, settings_of, show, table

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.statements import Statement


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `settle`."""
    parser = add_command(subparsers, "settle", "state what a closed month comes to with partners", _settle)
    parser.add_argument("period", metavar="YYYY-MM", help="a month that is closed; may be settled again")


def _settle(args: argparse.Namespace) -> int:
    from entrepot.compose.closing import settle_period

    period = str(period_of(args.period))
    statements, new = settle_period(settings_of(args), period, folding)
    progress("")
    show(args, {"period": period, "issued": new, "statements": statements}, _lines(period, statements, new))
    return 0


def _lines(period: str, statements: "list[Statement]", new: list[str]) -> Iterator[str]:
    yield f"{period} is settled: {len(new)} statement{'' if len(new) == 1 else 's'} issued"
    if not statements:
        yield f"no agreement with a partner comes to anything in {period}; a world file declares them under agreements"
    for statement in statements:
        yield ""
        yield from statement_lines(statement)


def statement_lines(statement: "Statement") -> Iterator[str]:
    """A statement as lines of a terminal."""
    yield f"statement {statement.number} with {statement.partner_name}"
    rows = [("agreement", "direction", "base", "rate", "amount", "cap left")]
    rows += [
        (item.agreement, item.direction, item.base, item.rate, item.amount, item.cap_left or "")
        for item in statement.documents
    ]
    yield from table(rows, right=(2, 3, 4, 5))
    owed = "owes" if not statement.net.startswith("-") else "is owed"
    yield f"{statement.partner_name} {owed} {statement.net.removeprefix('-')} {statement.currency}"
