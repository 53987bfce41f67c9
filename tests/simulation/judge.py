"""What is wrong after a life: lost, doubled, altered, or not what upstream and price list say; in sentences."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import floor

from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.sql.books import open_books
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.terms import SHARE
from entrepot.core.usage_event import UsageEvent
from entrepot.flows.compare_books import check, compare
from entrepot.ports.event_log import START
from entrepot.workers import fold
from tests.oracle.bills import Customer
from tests.oracle.cases import Use
from tests.simulation.life import Life, Request
from tests.simulation.office import AGREEMENT, MONTHS, OFFICE, STANDING, STANDING_LINES

_USAGE = ("usage", "adjustment", "overage")
_Sums = dict[tuple[str, ...], tuple[int, Fraction]]


def faults_of(life: Life) -> list[str]:
    """Nothing when every request is billed once and all books agree."""
    booked = {event.id: event for event in life.books.events(0, 2**60)}
    return [
        *_log(life),
        *life.backups.faults(),
        *_requests(life, booked),
        *_quarantine(life),
        *_money(life, booked),
        *_caps(life),
        *_credit(life),
        *_standing(life),
        *_given_back(life),
        *_partners(life),
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
    """What the log knows is booked, and is what the upstream served; what a client saw the end of is known.

    Where answers did not wait for the disk, a power cut may take those that it had not yet.
    """
    records = [record for _, record in DiskLogReader(life.machine.disk).read(START, 10**9)]
    known = {record.id for record in records if isinstance(record, Admitted)}
    known |= {record.event.id for record in records if isinstance(record, UsageRecorded)}
    answered = {name for name, request in life.requests.items() if request.answered}
    promised = known if life.machine.kept_is_safe else known | answered
    for name in life.requests.keys() | life.clerk.imported.keys():
        if name not in booked and (name in promised or name not in life.machine.unsure):
            yield f"{name} is lost: its client saw the end: {name in answered}, the log has it: {name in known}"
    for name, event in booked.items():
        if name in life.clerk.imported:
            if event.meters != (told := life.clerk.imported[name].meters):
                yield f"imported {name} is booked as {event.meters}, not {told}"
        elif name not in life.requests:
            yield f"{name} is booked, and nobody asked for it"
        elif not _is_right(life.requests[name], event):
            yield f"request {name} is booked as {event.source} {event.meters}: {life.requests[name]}"
    if life.books.open_requests(given_up=False) or life.books.open_requests(given_up=True):
        yield "requests are still open"


def _is_right(request: Request, event: UsageEvent) -> bool:
    """Whether it is what the upstream served; or no more than was counted, where the upstream did not say."""
    told = {meter: quantity for meter, quantity in event.meters.items() if quantity}
    if event.source != "reported" and request.may_be_estimated:
        return told.get("output_tokens", 0) <= request.counted and told.get("input_tokens", 7) == 7
    prompt, cached, answer = request.usage
    served = {"cached_input_tokens": cached, "input_tokens": prompt - cached, "output_tokens": answer}
    return told == {meter: quantity for meter, quantity in served.items() if quantity}


def _quarantine(life: Life) -> Iterator[str]:
    found = {(item.event.id, item.event.meters.get("input_tokens", 0)) for item in life.books.quarantined()}
    clerk = life.clerk
    if not clerk.conflicts <= found <= clerk.conflicts | clerk.refused_conflicts:
        yield f"in quarantine are {sorted(found)}, not {sorted(clerk.conflicts)}"


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


def _caps(life: Life) -> Iterator[str]:
    """A month comes to its usage or to its cap."""
    sums: Counter[tuple[str, ...]] = Counter()
    for invoice in life.books.invoices():
        for line in invoice.lines:
            if line.kind in (*_USAGE, "cap"):
                sums[invoice.contract, "cap" if line.kind == "cap" else "used", line.period] += _pico(line.amount)
    for deal in (deal for case in OFFICE.cases for deal in case.deals if deal.cap):
        for month in MONTHS:
            used, capped = (sums[deal.id, kind, month] for kind in ("used", "cap"))
            if used + capped != min(used, _pico(deal.cap)):
                yield f"{month} of {deal.id} comes to {used} and to {used + capped} under its cap"


def _credit(life: Life) -> Iterator[str]:
    """Credit is bought once and never spent twice, and what is left of it is lost."""
    lines = [line for invoice in life.books.invoices() for line in invoice.lines]
    sums = {"income:grants": 0, "income:breakage": 0, "liabilities:credit:acme": 0}
    for credit in (credit for case in OFFICE.cases for deal in case.deals for credit in deal.credits):
        of = [line for line in lines if line.price_class == credit.name]
        bought, used = (
            sum(_pico(line.amount) for line in of if line.kind == kind) for kind in ("credit_bought", "credit_used")
        )
        agreed = _pico(credit.amount)
        if bought != (0 if credit.granted else agreed) or not 0 <= -used <= agreed:
            yield f"{credit.name} was bought for {bought} and {-used} of it was spent"
        if credit.granted:
            sums["income:grants"] -= used
        else:
            sums["income:breakage"] -= agreed + used
    balances = life.books.balances()
    for account, wanted in sums.items():
        if (held := balances.get((account, "USD"), 0)) != wanted:
            yield f"{account} holds {held}, and credit comes to {wanted}"


def _standing(life: Life) -> Iterator[str]:
    """What stands is invoiced once, whatever happened."""
    for month, wanted in STANDING_LINES.items():
        of_month = [paper for paper in life.books.invoices(month) if paper.customer == STANDING and not paper.corrects]
        found = [line.amount for invoice in of_month for line in invoice.lines]
        if found != wanted:
            yield f"units and seats of {month} are invoiced as {found}, and come to {wanted}"


def _given_back(life: Life) -> Iterator[str]:
    """No line is given back twice."""
    papers = {paper.number: paper for paper in life.books.invoices()}
    left = {(paper.number, line.number): _pico(line.amount) for paper in papers.values() for line in paper.lines}
    for note in papers.values():
        for line in note.lines if note.corrects else ():
            left[note.corrects, line.number] += _pico(line.amount)
            if left[note.corrects, line.number] < 0:
                yield f"of line {line.number} of {note.corrects} more was given back than it came to"


def _partners(life: Life) -> Iterator[str]:
    """A partner has its share of what was invoiced for using or reserving its model, less what was given back of it."""
    stated: Counter[str] = Counter()
    for statement in life.books.statements():
        stated[statement.period] += sum(_pico(item.amount) for item in statement.documents)
    papers = {paper.number: paper for paper in life.books.invoices()}
    for month in MONTHS:
        base = Fraction(0)
        for paper in (paper for paper in papers.values() if paper.period == month):
            lines = papers[paper.corrects or paper.number].lines
            shared = {line.number for line in lines if line.kind in (*_USAGE, "reservation") and line.model == "m"}
            amount = sum(Fraction(line.amount) for line in paper.lines if line.number in shared)
            base += amount * _dollars(paper.currency, month)
        due = _cents(_cents(base) * Fraction(AGREEMENT.share, SHARE))
        if stated[month] != int(due * 10**12):
            yield f"the partner's statements of {month} come to {stated[month]}, and its share is {float(due):.2f}"
    held = life.books.balances().get(("liabilities:partner:own", "USD"), 0)
    if held != -sum(stated.values()):
        yield f"the partner is owed {-held}, and its statements come to {sum(stated.values())}"


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
        owed[f"assets:receivable:invoiced:{invoice.customer}", invoice.currency] += _pico(invoice.total)
    for key, amount in owed.items():
        if balances.get(key, 0) != amount:
            yield f"{key} holds {balances.get(key, 0)}, and invoices come to {amount}"


def _invoices(life: Life) -> Iterator[str]:
    if life.altered:
        yield f"issued invoices changed: {life.altered}"
    papers = life.books.invoices()
    for month in MONTHS:
        for is_note, number in ((False, "{}-{:06d}"), (True, "{}-C{:05d}")):
            found = [paper.number for paper in papers if paper.period == month and bool(paper.corrects) == is_note]
            if sorted(found) != [number.format(month, place) for place in range(1, len(found) + 1)]:
                yield f"invoices or credit notes of {month} have gaps: {found}"
    for invoice in papers:
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


def _pico(text: str) -> int:
    return int(Fraction(text) * 10**12)


def _cents(amount: Fraction) -> Fraction:
    """Rounded half up to the cent, away from zero."""
    cents = floor(abs(amount) * 100 + Fraction(1, 2))
    return Fraction(cents if amount >= 0 else -cents, 100)


def _dollars(currency: str, month: str) -> Fraction:
    """What one unit of a currency is at the end of a month."""
    known = [(date, rate) for sold, bought, date, rate in OFFICE.rates if (sold, bought) == (currency, "USD")]
    return Fraction(1) if currency == "USD" else Fraction(max(item for item in known if item[0] <= f"{month}-31")[1])
