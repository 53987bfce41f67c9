"""What is wrong after a life: lost, doubled, altered, or not what upstream and price list say; in sentences."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.sql.books import open_books
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.usage_event import UsageEvent
from entrepot.flows.compare_books import check, compare
from entrepot.ports.event_log import START
from entrepot.workers import fold
from tests.oracle.bills import Customer
from tests.oracle.cases import Use
from tests.simulation.life import Life, Request
from tests.simulation.office import MONTHS, OFFICE, STANDING, STANDING_LINES

_USAGE = ("usage", "adjustment", "overage")
_Sums = dict[tuple[str, ...], tuple[int, Fraction]]


def faults_of(life: Life) -> list[str]:
    """Nothing when every request is billed once and all books agree."""
    booked = {event.id: event for event in life.books.events(0, 2**60)}
    return [
        *_log(life),
        *_requests(life, booked),
        *_quarantine(life),
        *_money(life, booked),
        *_terms(life),
        *_standing(life),
        *_traces(life, booked),
        *_ledger(life),
        *_invoices(life),
        *_again(life),
    ]


def _log(life: Life) -> Iterator[str]:
    held = DiskLogReader(life.machine.disk).check().records
    if held < life.machine.acknowledged:
        yield f"the log holds {held} records, and acknowledged {life.machine.acknowledged}"


def _requests(life: Life, booked: dict[str, UsageEvent]) -> Iterator[str]:
    """What the log knows is booked, and is what the upstream served; what a client saw the end of is known."""
    records = [record for _, record in DiskLogReader(life.machine.disk).read(START, 10**9)]
    known = {record.id for record in records if isinstance(record, Admitted)}
    known |= {record.event.id for record in records if isinstance(record, UsageRecorded)}
    answered = {name for name, request in life.requests.items() if request.answered}
    for name in life.requests.keys() | life.imported.keys():
        if name not in booked and (name in known or name in answered or name not in life.machine.unsure):
            yield f"{name} is lost: its client saw the end: {name in answered}, the log has it: {name in known}"
    for name, event in booked.items():
        if name in life.imported:
            if event.meters != life.imported[name].meters:
                yield f"imported {name} is booked as {event.meters}, not {life.imported[name].meters}"
        elif name not in life.requests:
            yield f"{name} is booked, and nobody asked for it"
        elif not _is_right(life.requests[name], event):
            yield f"request {name} is booked as {event.source} {event.meters}: {life.requests[name]}"
    if life.books.open_requests(given_up=False) or life.books.open_requests(given_up=True):
        yield "requests are still open"


def _is_right(request: Request, event: UsageEvent) -> bool:
    """Whether it is what the upstream served; or no more than was counted, where the upstream did not say."""
    told = {meter: quantity for meter, quantity in event.meters.items() if quantity}
    if event.source == "estimated" and request.may_be_estimated:
        return told.get("output_tokens", 0) <= request.counted and told.get("input_tokens", 7) == 7
    prompt, cached, answer = request.usage
    served = {"cached_input_tokens": cached, "input_tokens": prompt - cached, "output_tokens": answer}
    return told == {meter: quantity for meter, quantity in served.items() if quantity}


def _quarantine(life: Life) -> Iterator[str]:
    found = {(item.event.id, item.event.meters.get("input_tokens", 0)) for item in life.books.quarantined()}
    if not life.conflicts <= found <= life.conflicts | life.refused_conflicts:
        yield f"in quarantine are {sorted(found)}, not {sorted(life.conflicts)}"


def _money(life: Life, booked: dict[str, UsageEvent]) -> Iterator[str]:
    """All invoices together come to what the second calculation makes of what is booked."""
    found: _Sums = {}
    for invoice in life.books.invoices():
        for line in invoice.lines:
            if line.kind in _USAGE and invoice.customer != STANDING:
                of = (line.period, line.model, line.meter, line.tier, line.price_class)
                _add(found, (invoice.contract, *of), int(line.quantity), Fraction(line.exact))
    expected: _Sums = {}
    for case in OFFICE.cases:
        uses = tuple(
            Use(event.id, event.admitted_at, event.model, event.tier, event.meters)
            for event in booked.values()
            if event.customer == case.customer
        )
        customer = Customer(OFFICE, case._replace(uses=uses))
        for paper in (paper for month in MONTHS for paper in customer.close(month)):
            for row in paper.lines:
                if row.kind in _USAGE:
                    of = (row.month, row.model, row.meter, row.tier, row.of)
                    _add(expected, (paper.deal, *of), int(row.quantity), Fraction(row.exact))
    for key in sorted(found.keys() | expected.keys()):
        one, other = found.get(key, (0, 0)), expected.get(key, (0, 0))
        if one != other:
            yield f"{key} is invoiced as {_shown(one)}, and comes to {_shown(other)}"


def _terms(life: Life) -> Iterator[str]:
    """Credit is bought once and never spent twice; a month comes to its usage or to its cap."""
    sums: Counter[tuple[str, ...]] = Counter()
    for invoice in life.books.invoices():
        for line in invoice.lines:
            amount = round(Fraction(line.amount) * 10**12)
            if line.kind in ("credit_bought", "credit_used"):
                sums[invoice.contract, line.kind, line.price_class] += amount
            elif line.kind in (*_USAGE, "cap"):
                sums[invoice.contract, "cap" if line.kind == "cap" else "used", line.period] += amount
    for deal in (deal for case in OFFICE.cases for deal in case.deals):
        for credit in deal.credits:
            agreed = int(credit.amount) * 10**12
            bought, used = (sums[deal.id, kind, credit.name] for kind in ("credit_bought", "credit_used"))
            if bought != (0 if credit.granted else agreed) or not 0 <= -used <= agreed:
                yield f"{credit.name} of {deal.id} was bought for {bought} and {-used} of it was spent"
        for month in MONTHS if deal.cap else ():
            used, capped = (sums[deal.id, kind, month] for kind in ("used", "cap"))
            if used + capped != min(used, int(deal.cap) * 10**12):
                yield f"{month} of {deal.id} comes to {used} and to {used + capped} under its cap"


def _standing(life: Life) -> Iterator[str]:
    """What stands is invoiced once, whatever happened."""
    for month, wanted in STANDING_LINES.items():
        of_month = [invoice for invoice in life.books.invoices(month) if invoice.customer == STANDING]
        found = [line.amount for invoice in of_month for line in invoice.lines]
        if found != wanted:
            yield f"units and seats of {month} are invoiced as {found}, and come to {wanted}"


def _traces(life: Life, booked: dict[str, UsageEvent]) -> Iterator[str]:
    """Each request is behind one invoice's lines, and behind no other's."""
    behind: Counter[str] = Counter()
    for invoice in life.books.invoices():
        lines = (line for line in invoice.lines if line.kind in _USAGE)
        for name in {event.id for line in lines for event in life.books.requests_of_line(invoice.number, line.number)}:
            behind[name] += 1
    for name, event in booked.items():
        wanted = 1 if any(event.meters.values()) else 0
        if behind[name] != wanted:
            yield f"{name} with {event.meters} is on {behind[name]} invoices"


def _ledger(life: Life) -> Iterator[str]:
    yield from check(life.books)
    balances = life.books.balances()
    by_currency: Counter[str] = Counter()
    for (account, currency), amount in balances.items():
        by_currency[currency] += amount
        if account.startswith("assets:receivable:accrued:"):
            yield f"{account} still holds {amount} pico of {currency}"
    if any(by_currency.values()):
        yield f"the ledger does not balance: {dict(by_currency)}"
    owed: Counter[tuple[str, str]] = Counter()
    for invoice in life.books.invoices():
        owed[f"assets:receivable:invoiced:{invoice.customer}", invoice.currency] += int(
            Fraction(invoice.total) * 10**12
        )
    for key, amount in owed.items():
        if balances.get(key, 0) != amount:
            yield f"{key} holds {balances.get(key, 0)}, and invoices come to {amount}"


def _invoices(life: Life) -> Iterator[str]:
    if life.altered:
        yield f"issued invoices changed: {life.altered}"
    numbers = [invoice.number for invoice in life.books.invoices()]
    for month in MONTHS:
        of_month = [number for number in numbers if number.startswith(month)]
        if of_month != [f"{month}-{place:06d}" for place in range(1, len(of_month) + 1)]:
            yield f"invoices of {month} have gaps: {of_month}"
    for invoice in life.books.invoices():
        exact = sum((Fraction(line.exact) for line in invoice.lines), Fraction(0))
        rounded = sum((Fraction(line.amount) for line in invoice.lines), Fraction(0))
        if Fraction(invoice.net) != rounded or exact - rounded != Fraction(invoice.residual):
            yield f"invoice {invoice.number} is not the sum of its lines"
        if Fraction(invoice.net) + Fraction(invoice.tax) != Fraction(invoice.total):
            yield f"invoice {invoice.number} is not net and tax"


def _again(life: Life) -> Iterator[str]:
    """The log, folded once more in other pieces, gives the same books to the byte."""
    rebuilt = open_books(":memory:")
    fold(rebuilt, DiskLogReader(life.machine.disk), batch=7)
    yield from compare(life.books, rebuilt)
    rebuilt.close()


def _add(sums: _Sums, key: tuple[str, ...], quantity: int, exact: Fraction) -> None:
    before = sums.get(key, (0, Fraction(0)))
    sums[key] = before[0] + quantity, before[1] + exact


def _shown(sums: tuple[int, Fraction | int]) -> str:
    return f"{sums[0]} units, {float(sums[1]):.12f}"
