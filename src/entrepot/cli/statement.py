"""`entrepot statement …`: what was settled with partners, as it is sent to them."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, period_of, settings_of, show, table
from entrepot.core.errors import BadInput

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
    rendering.add_argument("--output", metavar="FILE", help="where to write it; without, to stdout")


def _list(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books

    period = str(period_of(args.period)) if args.period else None
    with open_current_books(settings_of(args)) as books:
        found = books.statements(period, args.partner)
    rows = [("number", "period", "partner", "net", "")]
    rows += [(item.number, item.period, item.partner_name, item.net, item.currency) for item in found]
    nothing = ["no statements; `entrepot settle 2024-03` issues them"]
    show(args, {"statements": found}, table(rows, right=(3,)) if found else nothing)
    return 0


def _render(args: argparse.Namespace) -> int:
    from entrepot.compose.documents import render_of_partner

    if not args.output and (args.json or (args.format == "pdf" and sys.stdout.isatty())):
        args.parser.error("--output FILE says where the document goes")
    made = render_of_partner(settings_of(args), args.number, args.format, args.language)
    if not args.output:
        sys.stdout.buffer.write(made.content)
        return 0
    path = Path(args.output)
    try:
        path.write_bytes(made.content)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}", param="output") from None
    document = {"statement": args.number, "format": args.format, "language": args.language, "file": str(path)}
    show(args, document, [f"wrote {path}, {len(made.content):,} bytes"])
    return 0
