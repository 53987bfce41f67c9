"""An issued invoice as a document for its customer."""

from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput
from entrepot.core.invoices import Invoice
from entrepot.core.periods import parse_instant, zone_of
from entrepot.core.world import World
from entrepot.ports.books import Books
from entrepot.ports.typesetter import Typesetter
from entrepot.printing.html import html_of
from entrepot.printing.phrases import LANGUAGES, check_language
from entrepot.printing.sheet import Background, print_invoice
from entrepot.printing.ubl import ubl_of

MEDIA_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
    "xml": "application/xml",
}
DOCUMENT_LANGUAGES = {code: language.name for code, language in LANGUAGES.items()}


class RenderedInvoice(NamedTuple):
    """A document and the name of a file for it."""

    content: bytes
    media_type: str
    file_name: str


def render_invoice(
    books: Books, number: str, form: str, language: str, typesetter: Typesetter, console: str = ""
) -> RenderedInvoice:
    """The document. console: where people reach the console, for links to requests, or empty.

    Raises: NotFound, BadInput for an unknown form or language, or for what a form cannot say.
    """
    if form not in MEDIA_TYPES:
        raise BadInput(f"an invoice is rendered as {', '.join(MEDIA_TYPES)}, not as {form!r}", param="format")
    check_language(language)
    invoice = books.invoice(number)
    return RenderedInvoice(
        content=_content(books, invoice, form, language, typesetter, console),
        media_type=MEDIA_TYPES[form],
        file_name=f"{number}.{form}" if form in {"json", "xml"} else f"{number}.{language}.{form}",
    )


def _content(books: Books, invoice: Invoice, form: str, language: str, typesetter: Typesetter, console: str) -> bytes:
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(invoice, order="deterministic"), indent=2) + b"\n"
    background = _background(books, invoice, console)
    sheet = print_invoice(invoice, language, background)
    if form == "html":
        return html_of(sheet)
    return typesetter.typeset(sheet) if form == "pdf" else ubl_of(invoice, sheet, background)


def _background(books: Books, invoice: Invoice, console: str) -> Background:
    """What the world said when the invoice was issued, so that it goes on saying what it said then."""
    world = books.world_at(parse_instant(invoice.issued_at))
    assert world is not None, "an invoice was issued without a world"
    return Background(
        day=_day_of_issue(invoice, world),
        operator=world.operator.name,
        clauses=books.price_versions_of(invoice.number),
        console=console,
    )


def _day_of_issue(invoice: Invoice, world: World) -> date:
    """The date when it was issued, by the clocks of its contract; by UTC where the contract is no longer declared."""
    zone = next((contract.zone for contract in world.contracts if contract.id == invoice.contract), "UTC")
    issued = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_instant(invoice.issued_at))
    return issued.astimezone(zone_of(zone)).date()
