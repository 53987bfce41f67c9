"""Closing and settling a month from a command: what speaks against it is said, or it is recorded."""

import os
from collections.abc import Sequence
from functools import partial

from entrepot.adapters.upstream_usage_http import HttpUpstreamUsage
from entrepot.compose.books import Note, Report, open_office
from entrepot.compose.local_models import base_urls
from entrepot.compose.settings import Settings
from entrepot.compose.upstream_keys import upstream_keys
from entrepot.core.errors import BadInput, PeriodNotClosable
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import InvoiceCredited, MonthClosed, MonthSettled
from entrepot.core.periods import format_instant
from entrepot.core.statements import Statement
from entrepot.core.world import index_of
from entrepot.flows.administer import Office
from entrepot.flows.close_month import check_closable, check_order
from entrepot.flows.credit_invoice import draw_up_credit
from entrepot.flows.resolve_usage import resolve_usage
from entrepot.flows.settle_accounts import check_settleable

_NAMED_MAX = 5


def close_period(
    settings: Settings, period: str, report: Report, note: Note = lambda _: None
) -> tuple[list[Invoice], list[str]]:
    """(all invoices of the period, the numbers of those issued now). Closing again invoices only what came since.

    Raises: PeriodNotClosable with what to do; UsageLogUnavailable.
    """
    with open_office(settings, report, note) as office:
        office.fold()
        lookup = HttpUpstreamUsage(partial(base_urls, settings), upstream_keys(os.environ))
        if resolve_usage(office.books, office.log, lookup, office.clock.now()):
            office.fold()
        at = office.clock.now()
        try:
            terms = index_of(office.books.worlds())
            wanted = check_closable(office.books, terms, at, period)
            assert terms is not None
            check_order(office.books, terms, wanted)
        except PeriodNotClosable as refused:
            raise PeriodNotClosable(refused.message + _open_requests(office)) from None
        known = {invoice.number for invoice in office.books.invoices(period)}
        office.log.append([MonthClosed(at=at, period=period)])
        office.fold()
        _require_closed(office, period, at)
        invoices = office.books.invoices(period)
        return invoices, [invoice.number for invoice in invoices if invoice.number not in known]


def credit_lines(
    settings: Settings, invoice: str, lines: Sequence[tuple[int, str]], reason: str, report: Report
) -> Invoice:
    """The credit note that gives back lines of an invoice: (number, amount, or "" for what is left of it).

    Raises: NotFound, BadInput with what can be given back; UsageLogUnavailable.
    """
    if not reason.strip():
        raise BadInput("give a reason: it is printed on the credit note", param="reason")
    with open_office(settings, report) as office:
        office.fold()
        record = InvoiceCredited(at=office.clock.now(), invoice=invoice, lines=tuple(lines), reason=reason)
        expected = draw_up_credit(office.books, index_of(office.books.worlds()), record)
        office.log.append([record])
        office.fold()
        return office.books.invoice(expected.number)


def settle_period(settings: Settings, period: str, report: Report) -> tuple[list[Statement], list[str]]:
    """(all statements of the period, the numbers of those issued now). Again, it states only what came since.

    Raises: PeriodNotClosable with what to do; UsageLogUnavailable.
    """
    with open_office(settings, report) as office:
        office.fold()
        check_settleable(office.books, index_of(office.books.worlds()), period)
        known = {statement.number for statement in office.books.statements(period)}
        office.log.append([MonthSettled(at=office.clock.now(), period=period)])
        office.fold()
        statements = office.books.statements(period)
        return statements, [statement.number for statement in statements if statement.number not in known]


def _open_requests(office: Office) -> str:
    found = [*office.books.open_requests(given_up=True), *office.books.open_requests(given_up=False)]
    if not found:
        return ""
    named = ", ".join(f"{item.admitted.id} of {format_instant(item.admitted.at)}" for item in found[:_NAMED_MAX])
    more = f" and {len(found) - _NAMED_MAX} more" if len(found) > _NAMED_MAX else ""
    return f" (open: {named}{more})"


def _require_closed(office: Office, period: str, at: int) -> None:
    """The fold decides in log order, and something may have come between our look and our record."""
    for closing in office.books.closings(period):
        if closing.at == at and closing.refused:
            raise PeriodNotClosable(closing.refused + _open_requests(office))
