"""`entrepot statement …`: what was settled with partners, as it is sent to them."""

import argparse
from typing import TYPE_CHECKING

from entrepot.cli.command import (
    add_command,
    add_group,
    check_output,
    hand_over,
    none_issued,
    period_of,
    settings_of,
    show,
    table,
)

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers

FORMS = ("json", "html", "pdf")


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `statement list` and `statement render`."""
    group = add_group(subparsers, "statement", "look at statements with partners, and send them")
    listing = add_command(group, "list", "list issued statements", _list)
    listing.add_argument("--period", metavar="YYYY-MM", help="only those of a month")
    listing.add_argument("--partner", metavar="ID", help="only a partner's")
    rendering = add_command(group, "render", "make a document of a statement for its partner", _render)
    rendering.add_argument("number", help="of the statement, as `statement list` shows it")
    rendering.add_argument("--format", choices=FORMS, default="pdf", help="(pdf)")
    rendering.add_argument("--language", default="en", metavar="CODE", help="en, de, it, pt, id, fr, es, ja or zh (en)")
    rendering.add_argument("--out", metavar="FILE", help="where to write it; without, to stdout")


def _list(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books

    period = str(period_of(args.period)) if args.period else None
    with open_current_books(settings_of(args)) as books:
        found, declared = books.statements(period, args.partner), books.world()
    known = {partner.id for partner in declared[1].partners} if declared else set()
    rows = [("number", "period", "partner", "net", "")]
    rows += [(item.number, item.period, item.partner_name, item.net, item.currency) for item in found]
    nothing = none_issued("statements", "settle", period, "partner", args.partner, known)
    show(args, {"statements": found}, table(rows, right=(3,)) if found else [nothing])
    return 0


def _render(args: argparse.Namespace) -> int:
    from entrepot.compose.documents import render_of_partner

    check_output(args)
    hand_over(args, "statement", render_of_partner(settings_of(args), args.number, args.format, args.language).content)
    return 0
