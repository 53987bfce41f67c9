"""The end of a month: draft, round, number, freeze, post; one invoice per contract with something left to invoice."""

from entrepot.core.errors import PeriodNotClosable
from entrepot.core.periods import Instant, Period, format_instant, parse_period
from entrepot.core.tenancy import Contract
from entrepot.core.world import WorldIndex
from entrepot.invoicing.draft import draft
from entrepot.invoicing.issue import draw_up, number_of
from entrepot.ledger.post import invoice_entry
from entrepot.metering.completeness import watermark
from entrepot.ports.books import Books
from entrepot.rating.rate_usage import Rater


def end_everywhere(terms: WorldIndex, period: Period) -> Instant:
    """The first instant at which the period is over in the zone of every contract, and in UTC."""
    return max(period.end(zone) for zone in {"UTC", *(contract.zone for contract in terms.world.contracts)})


def check_closable(books: Books, terms: WorldIndex | None, at: Instant, period: str) -> Period:
    """The period, when a close at the instant can go ahead. Raises: PeriodNotClosable with what to wait for."""
    try:
        wanted = parse_period(period)
    except ValueError as error:
        raise PeriodNotClosable(str(error)) from None
    if terms is None:
        raise PeriodNotClosable("no world is declared; apply a world file with `entrepot apply`")
    end = end_everywhere(terms, wanted)
    if at < end:
        raise PeriodNotClosable(f"{period} ends at {format_instant(end)}; close it then or later")
    oldest = books.oldest_open()
    if watermark(at, oldest) < end:
        assert oldest is not None
        raise PeriodNotClosable(
            f"a request admitted at {format_instant(oldest)} is still unresolved, so usage of {period} may still come; "
            "it is resolved while `entrepot serve` runs: close again when it is"
        )
    return wanted


def close_month(books: Books, terms: WorldIndex, at: Instant, period: Period) -> None:
    """Issues the invoices of a period in the order of contract ids; run again, it invoices only what is left.

    Everything before the period's end must be posted. Usage of earlier months that no invoice has yet is taken along,
    as adjustments under its own service period.
    """
    invoiced = {invoice.contract for invoice in books.invoices(str(period))}
    for contract in sorted(terms.world.contracts, key=lambda contract: contract.id):
        _invoice(books, terms, at, period, contract, supplement=contract.id in invoiced)


def _invoice(
    books: Books, terms: WorldIndex, at: Instant, period: Period, contract: Contract, *, supplement: bool
) -> None:
    readings = books.uninvoiced_readings(contract.id, period.end(contract.zone))
    rater = Rater(terms, lambda pool: books.pooled(pool).invoiced)
    charges = [rater.rate(reading) for reading in readings]
    drafts = draft(charges, contract, period, supplement)
    earlier = books.invoices(contract=contract.id) if contract.terms else []
    made = draw_up(
        number_of(period, books.next_number(str(period))),
        period,
        contract,
        terms.customers[contract.customer],
        [item.line for item in drafts],
        [line for invoice in earlier for line in invoice.lines],
        terms.world.operator.rounding,
        at,
    )
    if made is None:
        return
    invoice, totals = made
    books.issue(invoice)
    books.append_entries([invoice_entry(invoice, totals, at)])
    by_reading = {(reading.series, reading.meter, reading.hour): reading for reading in readings}
    for line, item in enumerate(drafts, start=1):
        taken = [by_reading[charge.series, charge.meter, charge.hour] for charge in item.charges]
        books.mark_invoiced(taken, invoice.number, line)
    books.save_invoiced_pools(rater.pooled)
