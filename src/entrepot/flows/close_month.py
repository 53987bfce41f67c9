"""The end of a month: draft, round, number, freeze, post; one invoice per contract with something left to invoice."""

from collections.abc import Sequence
from functools import partial

from entrepot.core.charges import Charge, reading_of
from entrepot.core.errors import NO_WORLD, PeriodNotClosable
from entrepot.core.invoices import InvoiceLine, sums
from entrepot.core.periods import Instant, Period, format_instant, parse_period, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Commitment
from entrepot.core.world import WorldIndex
from entrepot.invoicing.credits import credits_of, granted_pico, unused_pico
from entrepot.invoicing.draft import draft
from entrepot.invoicing.exchange import missing_rate
from entrepot.invoicing.issue import draw_up, number_of
from entrepot.invoicing.reservations import parted, reservation_lines
from entrepot.invoicing.terms import commitment_lines
from entrepot.ledger.post import breakage_entry, breakage_key, forfeit_entry, forfeit_key, free_key, invoice_entry
from entrepot.metering.completeness import watermark
from entrepot.metering.units import first_unit, first_units, units_without_contract, unpriced_units
from entrepot.ports.books import Books, Spending
from entrepot.rating.commitments import Drawdown, draw_down
from entrepot.rating.rate_usage import Rater


def end_everywhere(terms: WorldIndex, period: Period) -> Instant:
    """The first instant at which the period is over in the zone of every contract, and in UTC."""
    return max(period.end(zone) for zone in {"UTC", *(contract.zone for contract in terms.world.contracts)})


def first_charge(terms: WorldIndex) -> Instant | None:
    """When there is something to charge for that no usage tells of; None where there is nothing."""
    begins = [subscription.begins for subscription in terms.world.subscriptions]
    for contract in terms.world.contracts:
        begins += [max(credit.begins, contract.effective_from) for credit in credits_of(contract)]
    units = first_unit(terms)
    return min(begins if units is None else [*begins, units], default=None)


def check_closable(books: Books, terms: WorldIndex | None, at: Instant, period: str) -> Period:
    """The period, when a close at the instant can go ahead. Raises: PeriodNotClosable with what to wait for."""
    try:
        wanted = parse_period(period)
    except ValueError as error:
        raise PeriodNotClosable(str(error)) from None
    if terms is None:
        raise PeriodNotClosable(NO_WORLD)
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
    for unpriced in (*unpriced_units(terms.declared, end), *units_without_contract(terms.declared, end)):
        raise PeriodNotClosable(unpriced)
    abroad = [contract for contract in terms.world.contracts if contract.charged_in != contract.currency]
    since = _charged_since(books, terms, end) if abroad else {}
    for contract in abroad:
        for month in sorted(_rated_months(contract, since.get(contract.id, end), wanted)):
            missing = missing_rate(terms.world.exchange_rates, contract, month)
            if missing:
                raise PeriodNotClosable(missing)
    return wanted


def _charged_since(books: Books, terms: WorldIndex, end: Instant) -> dict[str, Instant]:
    """{contract: the hour of its oldest reading that is not invoiced, or of units that are counted by the end}."""
    since = books.uninvoiced_since()
    for contract, at in first_units(terms.declared, books.units_through(), end).items():
        since[contract] = min(at, since.get(contract, at))
    return since


def _rated_months(contract: Contract, since: Instant, wanted: Period) -> set[Period]:
    """Months that need an exchange rate: of the first lines that an invoice may have, and the wanted one.

    Where there is a rate at a month's end, there is one at the end of each later month. since: see _charged_since.
    """
    commitments = (term for term in contract.terms if isinstance(term, Commitment))
    begins = (term.begins if term.prepaid else term.ends - 1 for term in commitments)
    months = {period_of(at, contract.zone) for at in (since, *begins)}
    if contract.effective_from < min(wanted.end(contract.zone), contract.effective_to):
        months.add(wanted)
    return {month for month in months if month <= wanted}


def check_order(books: Books, terms: WorldIndex, period: Period) -> None:
    """Nothing, when no earlier month is left to close first. Raises: PeriodNotClosable naming it.

    The fold does not ask: months that were closed out of order come to the same in all, an earlier month's usage as
    adjustments on a later month's invoice. But no customer expects that, and it is a slip more often than a wish.
    """
    closed = closed_months(books)
    # The first hours of a month in UTC are another month's in some zones; a few hours alone are no month to close.
    used = {
        max(period_of(at, zone) for zone in ("UTC", terms.contract(contract).zone))
        for contract, at in _charged_since(books, terms, end_everywhere(terms, period)).items()
    }
    month = min(closed | used, default=period)
    while month < period:
        if month not in closed:
            raise PeriodNotClosable(
                f"{month} is not closed yet, and {period} would take its usage along; "
                f"run `entrepot close {month}` first"
            )
        month = month.next()


def closed_months(books: Books) -> set[Period]:
    """All that a close went through with."""
    return {parse_period(closing.period) for closing in books.closings() if not closing.refused}


def close_month(books: Books, terms: WorldIndex, at: Instant, period: Period, after: str, piece: int) -> str | None:
    """Issues the invoices of a period in the order of contract ids; run again, it invoices only what is left.

    Everything before the period's end must be posted. Usage of earlier months that no invoice has yet is taken along,
    as adjustments under its own service period.
    after: the last contract that this close is through with. piece: how many readings to invoice, up to the end of a
    contract; one without any counts as one. Comes back: the last contract, when others are left; None at the end.
    """
    contracts = sorted((item for item in terms.world.contracts if item.id > after), key=lambda contract: contract.id)
    closed = closed_months(books)
    taken = 0
    for contract in contracts:
        taken += 1 + _invoice(books, terms, at, period, closed, contract)
        if taken >= piece and contract is not contracts[-1]:
            return contract.id
    return None


def _invoice(
    books: Books, terms: WorldIndex, at: Instant, period: Period, closed: set[Period], contract: Contract
) -> int:
    """How many readings the contract's invoice takes."""
    readings = books.uninvoiced_readings(contract.id, period.end(contract.zone))
    supplement = any(not invoice.corrects for invoice in books.invoices(str(period), contract.id))
    rater = Rater(terms, lambda pool: books.pooled(pool).invoiced)
    charges = [rater.rate(reading) for reading in readings]
    reserved, plain = parted(charges)
    covered, overage, spent = _draw_down(books, contract, plain)
    usage = draft(covered, contract, period, supplement)
    drafts = [*usage, *draft(overage, contract, period, supplement, "overage"), *reservation_lines(reserved, contract)]
    needs_earlier = contract.terms or terms.subscriptions_of(contract.customer)
    invoices = books.invoices(contract=contract.id) if needs_earlier else []
    earlier = [line for invoice in invoices for line in invoice.lines]
    settled = {
        commitment: _missing(books, contract, period, commitment, drawdown) for commitment, drawdown in spent.items()
    }
    lines = [item.line for item in drafts]
    drawn = [item.line for item in usage]
    for commitment, missing in settled.items():
        lines += commitment_lines(contract, period, commitment, drawn, missing, earlier)
    number = number_of(period, books.next_number(str(period)))
    made = draw_up(terms, contract, period, number, at, lines, earlier, closed)
    if made is not None:
        invoice, totals = made
        books.issue(invoice)
        accrued = sum(charge.amount_pico for charge in charges)
        granted = granted_pico(contract, invoice.lines)
        books.append_entries([invoice_entry(invoice, totals, contract.charged_in, accrued, sums(lines), at, granted)])
        taken = [[reading_of(charge) for charge in item.charges] for item in drafts]
        books.mark_invoiced(taken, invoice.number)
        books.save_invoiced_pools(rater.pooled)
    _expire(books, contract, period, [*earlier, *(made[0].lines if made else ())], at)
    for commitment, drawdown in spent.items():
        known = books.spending(contract.id, commitment.begins)
        if commitment.prepaid and settled[commitment]:
            _forfeit(books, contract, commitment, settled[commitment], at)
        spending = Spending(drawdown.charged_pico, known.settled_pico + settled[commitment])
        books.save_spending(contract.id, commitment.begins, spending)
    return len(readings)


def _expire(books: Books, contract: Contract, period: Period, lines: Sequence[InvoiceLine], at: Instant) -> None:
    """Posts what was bought as credit and is lost, once the last month that it could pay is closed."""
    for credit in credits_of(contract):
        if credit.granted or period.end(contract.zone) < credit.ends:
            continue
        unused, known = unused_pico(credit, lines), books.expired_credit(contract.id, credit.id)
        if unused != known:
            key = free_key(books.has_entry, partial(breakage_key, contract.id, credit.id))
            lost = breakage_entry(key, contract.customer, contract.currency, unused - known, at)
            books.append_entries([lost])
            books.save_expired_credit(contract.id, credit.id, unused)


def _draw_down(
    books: Books, contract: Contract, charges: Sequence[Charge]
) -> tuple[list[Charge], list[Charge], dict[Commitment, Drawdown]]:
    """(charges at their prices, what goes beyond commitments, {commitment: what of it is spent})."""
    spent: dict[Commitment, Drawdown] = {}
    plain = list(charges)
    for commitment in (term for term in contract.terms if isinstance(term, Commitment)):
        within = [charge for charge in plain if commitment.begins <= charge.hour < commitment.ends]
        plain = [charge for charge in plain if not commitment.begins <= charge.hour < commitment.ends]
        charged = books.spending(contract.id, commitment.begins).charged_pico
        spent[commitment] = draw_down(commitment, charged, within)
    covered = [charge for drawdown in spent.values() for charge in drawdown.covered]
    return plain + covered, [charge for drawdown in spent.values() for charge in drawdown.overage], spent


def _missing(books: Books, contract: Contract, period: Period, commitment: Commitment, drawdown: Drawdown) -> int:
    """What was not spent of a commitment whose last month is closed, less what was settled of it before."""
    if period.end(contract.zone) < commitment.ends:
        return 0
    missing = commitment.amount_pico - commitment.drawn_pico(drawdown.charged_pico)
    return missing - books.spending(contract.id, commitment.begins).settled_pico


def _forfeit(books: Books, contract: Contract, commitment: Commitment, amount_pico: int, at: Instant) -> None:
    key = free_key(books.has_entry, partial(forfeit_key, contract.id, commitment.begins))
    books.append_entries([forfeit_entry(key, contract.customer, contract.charged_in, amount_pico, at)])
