"""`entrepot invoice …`: issued invoices, down to the requests behind a line."""

import argparse
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import (
    add_command,
    add_group,
    check_export,
    check_output,
    hand_over,
    none_issued,
    period_of,
    settings_of,
    show,
    table,
)
from entrepot.cli.credit import add_credit
from entrepot.core.errors import NotFound
from entrepot.core.money import grouped
from entrepot.core.periods import format_instant

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.invoices import Invoice, InvoiceLine
    from entrepot.core.usage_event import UsageEvent

REQUESTS_SHOWN = 1000
FORMS = ("json", "html", "pdf", "xml")


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `invoice list`, `invoice show`, `invoice render` and `invoice export`."""
    group = add_group(subparsers, "invoice", "look at issued invoices")
    listing = add_command(group, "list", "list issued invoices", _list)
    listing.add_argument("--period", metavar="YYYY-MM", help="only those of a month")
    listing.add_argument("--customer", metavar="ID", help="only a customer's")
    showing = add_command(group, "show", "show an invoice, one of its lines, or the requests behind that", _show)
    showing.add_argument("number", help="of the invoice, as `invoice list` shows it")
    showing.add_argument("--line", type=int, metavar="N", help="only the line of this number")
    showing.add_argument("--requests", action="store_true", help="the requests behind the line")
    showing.add_argument(
        "--limit", type=int, default=REQUESTS_SHOWN, metavar="N", help=f"requests at most ({REQUESTS_SHOWN})"
    )
    rendering = add_command(group, "render", "make a document of an invoice for its customer", _render)
    rendering.add_argument("number", help="of the invoice, as `invoice list` shows it")
    rendering.add_argument("--format", choices=FORMS, default="pdf", help="xml: EN 16931 in UBL 2.1 (pdf)")
    rendering.add_argument("--language", default="en", metavar="CODE", help="en, de, it, pt, id, fr, es, ja or zh (en)")
    rendering.add_argument("--out", metavar="FILE", help="where to write it; without, to stdout")
    export = add_command(group, "export", "write the lines of issued invoices as a table", _export)
    export.add_argument("--period", metavar="YYYY-MM", help="only those of a month")
    export.add_argument("--customer", metavar="ID", help="only a customer's")
    export.add_argument("--out", type=Path, metavar="FILE", help="CSV, or Parquet if so named; without, CSV to stdout")
    add_credit(group)


def invoice_rows(invoices: "Sequence[Invoice]") -> list[str]:
    """Invoices as lines of a table."""
    rows = [("number", "period", "customer", "contract", "total", "")]
    rows += [
        (item.number, item.period, item.customer_name, item.contract, grouped(item.total), item.currency)
        for item in invoices
    ]
    return table(rows, right=(4,)) if invoices else []


def _list(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books

    period = str(period_of(args.period)) if args.period else None
    with open_current_books(settings_of(args)) as books:
        everything, declared = books.invoices(period), books.world()
    invoices = [item for item in everything if args.customer in (None, item.customer)]
    known = {customer.id for customer in declared[1].customers} if declared else set()
    nothing = none_issued("invoices", "close", period, "customer", args.customer, known)
    show(args, {"invoices": invoices}, invoice_rows(invoices) or [nothing])
    return 0


def _show(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books

    if args.requests and args.line is None:
        args.parser.error("--requests needs --line N")
    with open_current_books(settings_of(args)) as books:
        invoice = books.invoice(args.number)
        if args.line is None:
            show(args, invoice, _invoice_lines(invoice))
            return 0
        line = _line(invoice, args.line)
        if not args.requests:
            show(args, line, line_table([line]))
            return 0
        behind = books.requests_of_line(invoice.number, line.number)
        found = list(islice(behind, args.limit + 1))
    events, more = found[: args.limit], len(found) > args.limit
    document = {"invoice": invoice.number, "line": line, "requests": list(map(_request, events)), "more": more}
    show(args, document, _request_lines(events, more=more))
    return 0


def _render(args: argparse.Namespace) -> int:
    from entrepot.compose.documents import render

    check_output(args)
    hand_over(args, "invoice", render(settings_of(args), args.number, args.format, args.language).content)
    return 0


def _export(args: argparse.Namespace) -> int:
    from entrepot.compose.exports import export_invoices

    check_export(args)
    period = str(period_of(args.period)) if args.period else None
    rows = export_invoices(settings_of(args), args.out, period, args.customer)
    if args.out is not None:
        show(args, {"file": str(args.out), "rows": rows}, [f"{rows:,} lines in {args.out}"])
    return 0


def _line(invoice: "Invoice", number: int) -> "InvoiceLine":
    for line in invoice.lines:
        if line.number == number:
            return line
    raise NotFound(f"invoice {invoice.number} has lines 1 to {len(invoice.lines)}, not {number}")


def _invoice_lines(invoice: "Invoice") -> Iterator[str]:
    yield f"Invoice {invoice.number}   {invoice.customer_name}   {invoice.period}   contract {invoice.contract}"
    yield f"issued {invoice.issued_at}"
    yield ""
    yield from line_table(invoice.lines)
    yield ""
    sums = (("net", invoice.net), ("tax", invoice.tax), ("total", invoice.total))
    rows = [(name, grouped(text)) for name, text in sums]
    yield from (f"{line} {invoice.currency}" for line in table(rows, right=(1,)))
    yield f"rounding left over {invoice.residual} {invoice.currency}"


def line_table(lines: "Sequence[InvoiceLine]") -> list[str]:
    """Invoice lines as lines of a table."""
    rows = [("#", "period", "model", "what", "quantity", "unit price", "exact", "amount")]
    for line in lines:
        price = line.unit_price if line.unit_price is not None else "several" if line.counts else ""
        rows.append(
            (
                str(line.number),
                line.period,
                line.model,
                line.title,
                grouped(line.quantity) if line.counts else "",
                price,
                grouped(line.exact),
                grouped(line.amount),
            )
        )
        rows += [
            ("", "", "", f"  {share.name}", grouped(share.quantity), "", grouped(share.exact), "")
            for share in line.shares or ()
        ]
    return table(rows, right=(0, 4, 5, 6, 7))


def _request(event: "UsageEvent") -> dict[str, object]:
    return {
        "id": event.id,
        "admitted_at": format_instant(event.admitted_at),
        "finished_at": format_instant(event.finished_at),
        "project": event.project,
        "deployment": event.deployment,
        "model": event.model,
        "tier": event.tier,
        "meters": event.meters,
        "source": event.source,
        "outcome": event.outcome,
        "corrects": event.corrects,
    }


def _request_lines(events: "Sequence[UsageEvent]", *, more: bool) -> Iterator[str]:
    rows = [("request", "admitted", "deployment", "source", "meters")]
    for event in events:
        meters = ", ".join(f"{meter} {quantity:,}" for meter, quantity in event.meters.items())
        place = f"{event.project}/{event.deployment}"
        rows.append((event.id, format_instant(event.admitted_at), place, event.source, meters))
    yield from table(rows)
    if more:
        yield f"… and more; --limit N shows more than {len(events):,}"
