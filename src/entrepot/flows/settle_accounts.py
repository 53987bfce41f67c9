"""Settling with partners: what a closed period's invoices and partners' reports come to, stated and posted."""

from collections.abc import Iterator, Sequence

from entrepot.core.agreements import Agreement
from entrepot.core.charges import Reading
from entrepot.core.errors import PeriodNotClosable
from entrepot.core.exchange import rate_at
from entrepot.core.invoices import Invoice, InvoiceLine, LineKind
from entrepot.core.money import PICO, parse_pico
from entrepot.core.periods import Instant, Period, format_instant, parse_period
from entrepot.core.statements import StatementItem
from entrepot.core.world import WorldIndex
from entrepot.ledger.post import settlement_entry
from entrepot.ports.books import Books
from entrepot.rating.rate_usage import Rater
from entrepot.settlement.partners import draw_up_statement, is_in_force, reported_base, resale_base, state


def check_settleable(books: Books, terms: WorldIndex | None, period: str) -> Period:
    """The period, when it is closed and its invoices can be converted. Raises: PeriodNotClosable with what to do."""
    try:
        wanted = parse_period(period)
    except ValueError as error:
        raise PeriodNotClosable(str(error)) from None
    if terms is None or all(closing.refused for closing in books.closings(period)):
        raise PeriodNotClosable(f"{period} is not closed; run `entrepot close {period}` first")
    for agreement in _in_force(terms, wanted):
        for invoice in books.invoices(period) if agreement.kind == "resale_share" else ():
            if _rate(terms, invoice, agreement, wanted) is None:
                raise PeriodNotClosable(
                    f"invoice {invoice.number} is in {invoice.currency} and agreement {agreement.id} in "
                    f"{agreement.currency}; declare an exchange rate from {invoice.currency} to {agreement.currency}"
                )
    return wanted


def settle_accounts(books: Books, terms: WorldIndex, at: Instant, period: Period) -> None:
    """Issues a statement for each partner whose agreements come to something that was not stated yet, and posts it."""
    for partner in terms.world.partners:
        agreements = [item for item in _in_force(terms, period) if item.partner == partner.id]
        for currency in sorted({agreement.currency for agreement in agreements}):
            items = [_item(books, terms, item, period) for item in agreements if item.currency == currency]
            stated = books.statements(partner=partner.id, period=str(period))
            is_first = all(statement.currency != currency for statement in stated)
            if not any(parse_pico(item.amount) or (is_first and parse_pico(item.base)) for item in items):
                continue
            number = f"{period}-{partner.id}-{len(stated) + 1}"
            statement = draw_up_statement(number, period, partner.id, partner.name, currency, items, format_instant(at))
            books.issue_statement(statement)
            books.append_entries([settlement_entry(statement, at)])


def _in_force(terms: WorldIndex, period: Period) -> Iterator[Agreement]:
    """Agreements that may come to something: an invoice of the period may hold usage of a month long before it."""
    for agreement in terms.world.agreements:
        may_be_late = agreement.kind == "resale_share" and agreement.begins < period.end("UTC")
        if may_be_late or is_in_force(agreement, period):
            yield agreement


def _item(books: Books, terms: WorldIndex, agreement: Agreement, period: Period) -> StatementItem:
    stated = [
        (statement.period, item)
        for statement in books.statements(partner=agreement.partner)
        for item in statement.documents
        if item.agreement == agreement.id
    ]
    if agreement.kind != "resale_share":
        base = reported_base(agreement, terms.world.partner_reports, period)
        return state(agreement, base, stated, period, terms.world.operator.rounding)

    def weights(invoice: str, line: int) -> Sequence[tuple[Reading, int]]:
        rater = Rater(terms)
        return [(reading, rater.rate(reading).amount_pico) for reading in books.readings_of_line(invoice, line)]

    def kind_of(invoice: Invoice, line: InvoiceLine) -> LineKind:
        if not invoice.corrects:
            return line.kind
        return next(item.kind for item in books.invoice(invoice.corrects).lines if item.number == line.number)

    def rate_of(invoice: Invoice) -> int:
        rate = _rate(terms, invoice, agreement, period)
        assert rate is not None, f"no rate for invoice {invoice.number}"
        return rate

    models = [model.id for model in terms.world.models if model.partner == agreement.partner]
    invoices = books.invoices(str(period))
    base = resale_base(
        agreement, invoices, models, lambda contract: terms.contract(contract).zone, kind_of, rate_of, weights
    )
    return state(agreement, base, stated, period, terms.world.operator.rounding)


def _rate(terms: WorldIndex, invoice: Invoice, agreement: Agreement, period: Period) -> int | None:
    if invoice.currency == agreement.currency:
        return PICO
    return rate_at(terms.world.exchange_rates, invoice.currency, agreement.currency, period.end("UTC") - 1)
