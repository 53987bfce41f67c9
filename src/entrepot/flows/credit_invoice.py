"""Giving back lines of an issued invoice: the credit note is drawn up, frozen and posted."""

from collections.abc import Sequence

from entrepot.core.errors import NO_WORLD, BadInput
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import InvoiceCredited
from entrepot.core.periods import period_of
from entrepot.core.world import WorldIndex
from entrepot.invoicing.credit import credit, credit_number_of
from entrepot.ledger.post import credit_entry
from entrepot.ports.books import Books


def draw_up_credit(books: Books, terms: WorldIndex | None, record: InvoiceCredited) -> Invoice:
    """The credit note that the record asks for. Raises: NotFound, BadInput with what can be given back."""
    invoice = books.invoice(record.invoice)
    if terms is None:
        raise BadInput(NO_WORLD)
    contract = terms.contract(invoice.contract)
    period = period_of(record.at, contract.zone)
    return credit(
        credit_number_of(period, books.next_number(str(period), of_credit=True)),
        invoice,
        _notes_of(books, invoice),
        record.lines,
        terms.world.operator.rounding,
        period,
        record.at,
        record.reason,
    )


def credit_invoice(books: Books, terms: WorldIndex | None, record: InvoiceCredited) -> None:
    """Issues and posts the credit note. Raises: NotFound, BadInput; then nothing has changed."""
    note = draw_up_credit(books, terms, record)
    books.issue(note)
    books.append_entries([credit_entry(note, record.at)])


def _notes_of(books: Books, invoice: Invoice) -> Sequence[Invoice]:
    return [note for note in books.invoices(contract=invoice.contract) if note.corrects == invoice.number]
