"""What invoices consist of: their lines down to the hour, what each was rounded by, their taxes."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from entrepot.core.charges import Charge, Pool, Reading
from entrepot.core.exchange import convert_pico
from entrepot.core.invoices import USAGE_KINDS, Invoice, InvoiceLine, LineKind
from entrepot.core.money import PICO, parse_pico
from entrepot.core.periods import HOUR, hour_of, parse_instant, parse_period, period_of
from entrepot.core.prices import Price
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Commitment, Credit
from entrepot.core.world import WorldIndex
from entrepot.exporting.costs import Cost, CostKind, UsedPart, allotted
from entrepot.ports.books import Books
from entrepot.rating.priced_parts import PoolSpan, priced_parts
from entrepot.rating.rate_usage import Rater, pool_of

Pools = Mapping[Pool, int]

# What is paid for something else than itself: it costs nothing, and what it pays for costs what it costs.
PAID_AHEAD: tuple[LineKind, ...] = ("purchase", "reservation", "credit_bought", "credit_used")


def costs(books: Books, terms: WorldIndex, period: str | None = None, customer: str | None = None) -> Iterator[Cost]:
    """The costs of issued invoices by contract and in the order of issue; those of an invoice sum to its total.

    period: only those of invoices of a month. Memory grows with the readings behind one line, and not beyond.
    """
    for contract_id in books.invoiced_contracts(period):
        contract = terms.contract(contract_id)
        if customer in (None, contract.customer):
            yield from ContractCosts(books, terms, contract).of_invoices(period)


class ContractCosts:
    """The costs of one contract. It counts pools along its invoices, as they were counted when these were issued."""

    def __init__(self, books: Books, terms: WorldIndex, contract: Contract) -> None:
        self._books = books
        self._terms = terms
        self._contract = contract
        self._counted: dict[Pool, int] = defaultdict(int)
        self._invoiced: set[str] = set()

    def of_invoices(self, period: str | None) -> Iterator[Cost]:
        """Those of the invoices of a month, or of all of them."""
        for invoice in self._in_order():
            counted_here = self._count(invoice)
            if period in (None, invoice.period):
                billed = 0
                for cost in self._of_invoice(invoice, counted_here):
                    billed += cost.billed_pico
                    yield cost
                assert billed == parse_pico(invoice.total), f"costs of {invoice.number} come to {billed} pico"
            self._pass(invoice, counted_here)
        yield from self._unused(period)

    def used_in(self, months: Collection[str]) -> Iterator[Cost]:
        """Those of usage of these months, on whichever invoice. Pools are of one month: others do not matter."""
        for invoice in self._in_order():
            counted_here = self._count(invoice, months)
            before = dict(self._counted)
            for line in invoice.lines:
                if line.kind in USAGE_KINDS and line.period in months:
                    yield from self._usage(invoice, line, before, counted_here)
            self._pass(invoice, counted_here)

    def beside_usage(self, invoice: Invoice) -> Iterator[Cost]:
        """What there is on an invoice beside usage, and what its lines were rounded by."""
        for line in invoice.lines:
            yield from self._beside_usage(invoice, line)
        yield from self._taxes(invoice)

    def _in_order(self) -> list[Invoice]:
        invoices = self._books.invoices(contract=self._contract.id)
        return sorted(invoices, key=lambda invoice: (parse_instant(invoice.issued_at), invoice.number))

    def _pass(self, invoice: Invoice, counted_here: Pools) -> None:
        self._invoiced.add(invoice.period)
        for pool, quantity in counted_here.items():
            self._counted[pool] += quantity

    def _count(self, invoice: Invoice, months: Collection[str] | None = None) -> dict[Pool, int]:
        """What an invoice counts in pools, of these months or of all; only lines without a unit price can."""
        counted: dict[Pool, int] = defaultdict(int)
        for line in invoice.lines:
            if line.kind in USAGE_KINDS and line.unit_price is None and (months is None or line.period in months):
                for reading in self._books.readings_of_line(invoice.number, line.number):
                    price = self._agreed(reading)
                    if price is not None and price.mode != "flat":
                        counted[self._pool(reading, price)] += reading.quantity
        return counted

    def _of_invoice(self, invoice: Invoice, counted_here: Pools) -> Iterator[Cost]:
        before = dict(self._counted)  # Moves on from reading to reading.
        for line in invoice.lines:
            if line.kind in USAGE_KINDS:
                yield from self._usage(invoice, line, before, counted_here)
            yield from self._beside_usage(invoice, line)
        yield from self._taxes(invoice)

    def _usage(
        self, invoice: Invoice, line: InvoiceLine, before: dict[Pool, int], counted_here: Pools
    ) -> Iterator[Cost]:
        """What a line of usage is exactly, in parts; as a whole where no prices explain it."""
        parts = self._parts(invoice, line, before, counted_here)
        drawn_from = self._drawn_from(line)
        is_paid = drawn_from is not None and drawn_from.prepaid
        exact = parse_pico(line.exact)
        plain = self._cost(invoice, line, "used" if parts else "term", exact)._replace(
            billed_pico=0 if is_paid else exact, commitment=drawn_from
        )
        if not parts:
            yield plain
            return
        shares = allotted(exact, [part.agreed_pico for part in parts]) if exact else iter([0] * len(parts))
        for part, share in zip(parts, shares, strict=True):
            hour = part.reading.hour
            yield plain._replace(
                begins=hour,
                ends=min(hour_of(hour) + HOUR, period_of(hour, self._contract.zone).end(self._contract.zone)),
                billed_pico=0 if is_paid else share,
                effective_pico=share,
                used=part,
            )

    def _beside_usage(self, invoice: Invoice, line: InvoiceLine) -> Iterator[Cost]:
        """A line that is not of usage, and what any was rounded by. What is paid ahead costs nothing until drawn."""
        rest = parse_pico(line.amount) - parse_pico(line.exact)
        if line.kind == "commitment":  # What usage drew is not billed again, so nothing has to be taken off.
            drawn = (item for item in invoice.lines if item.period == line.period and self._drawn_from(item))
            rest = parse_pico(line.amount) + sum(parse_pico(item.exact) for item in drawn)
        elif line.kind not in USAGE_KINDS:
            cost = self._cost(invoice, line, "term", parse_pico(line.exact))
            is_of_commitment = line.kind in {"purchase", "shortfall"}
            yield cost._replace(
                effective_pico=0 if self._is_paid_ahead(line) else cost.effective_pico,
                commitment=self._commitment_of(line.period) if is_of_commitment else None,
            )
            for share in line.shares or ():
                effective_pico = parse_pico(share.exact)
                yield cost._replace(kind="share", billed_pico=0, effective_pico=effective_pico, label=share.name)
        if rest:
            yield self._cost(invoice, line, "rounding", rest)

    def _taxes(self, invoice: Invoice) -> Iterator[Cost]:
        for tax in invoice.taxes:
            plain = self._cost(invoice, None, "tax", parse_pico(tax.amount))
            yield plain._replace(label=f"{tax.name} {tax.percent} %")

    def _parts(
        self, invoice: Invoice, line: InvoiceLine, before: dict[Pool, int], counted_here: Pools
    ) -> list[UsedPart]:
        """What is behind a line of usage; nothing where no prices explain it."""
        parts: list[UsedPart] = []
        for reading in self._books.readings_of_line(invoice.number, line.number):
            agreed, listed = self._agreed(reading), self._listed(reading)
            if agreed is None or listed is None:
                parts.append(_hour_part(reading, Rater(self._terms).rate(reading)))
                continue
            span = PoolSpan()
            if agreed.mode != "flat":
                pool = self._pool(reading, agreed)
                start, here = self._counted.get(pool, 0), before.get(pool, 0)
                span = PoolSpan(start, here, start + counted_here[pool])
                before[pool] = here + reading.quantity
            parts += _used_parts(reading, agreed, listed, span)
        if not sum(part.agreed_pico for part in parts) and parse_pico(line.exact):
            return []
        return parts

    def _unused(self, period: str | None) -> Iterator[Cost]:
        """What was paid ahead and not drawn when its term was over: of the term's last month, and on no invoice."""
        for term in self._contract.terms:
            if not isinstance(term, Commitment) or not term.prepaid:
                continue
            last = str(period_of(term.ends - 1, self._contract.zone))
            settled = self._books.spending(self._contract.id, term.begins).settled_pico
            issued = [invoice for invoice in self._in_order() if invoice.period == last and not invoice.corrects]
            if settled and issued and period in (None, last):
                plain = self._cost(issued[0], None, "unused", 0)._replace(is_correction=False, commitment=term)
                yield plain._replace(effective_pico=convert_pico(settled, plain.rate_pico))

    def _cost(self, invoice: Invoice, line: InvoiceLine | None, kind: CostKind, billed_pico: int) -> Cost:
        month = line.period if line else invoice.period
        rates = {conversion.period: parse_pico(conversion.rate) for conversion in invoice.conversions}
        return Cost(
            kind=kind,
            invoice=invoice,
            contract=self._contract,
            line=line,
            begins=parse_period(month).start(self._contract.zone),
            ends=parse_period(month).end(self._contract.zone),
            billed_pico=billed_pico,
            effective_pico=billed_pico,
            rate_pico=rates.get(month, PICO),
            is_correction=bool(invoice.corrects) or month < invoice.period or month in self._invoiced,
        )

    def _is_paid_ahead(self, line: InvoiceLine) -> bool:
        """Granted credit takes off what nobody has paid."""
        granted = {term.id for term in self._contract.terms if isinstance(term, Credit) and term.granted}
        return line.kind in PAID_AHEAD and not (line.kind == "credit_used" and line.price_class in granted)

    def _drawn_from(self, line: InvoiceLine) -> Commitment | None:
        """The commitment that a line of usage draws from; a commitment's term is whole months."""
        if line.kind not in USAGE_KINDS or line.kind == "overage":
            return None
        return self._commitment_of(line.period)

    def _commitment_of(self, month: str) -> Commitment | None:
        at = parse_period(month).start(self._contract.zone)
        commitments = (term for term in self._contract.terms if isinstance(term, Commitment))
        return next((term for term in commitments if term.begins <= at < term.ends), None)

    def _agreed(self, reading: Reading) -> Price | None:
        series = reading.series
        table = self._terms.agreed_prices(series.contract, series.price_version)
        return table.price(series.model, reading.meter, series.tier, series.price_class)

    def _listed(self, reading: Reading) -> Price | None:
        series = reading.series
        table = self._terms.prices(series.price_version)
        return table.price(series.model, reading.meter, series.tier, series.price_class)

    def _pool(self, reading: Reading, price: Price) -> Pool:
        month = str(period_of(reading.hour, self._contract.zone))
        return pool_of(reading.series, price.meter, price.price_class, month)


def _hour_part(reading: Reading, charge: Charge) -> UsedPart:
    """What is there by the hour, asked or not: the hour is what has a price."""
    once, price = (-1 if charge.amount_pico < 0 else 1), abs(charge.amount_pico)
    return UsedPart(
        reading=reading,
        quantity=reading.quantity,
        price_book=reading.series.price_version.rpartition("@")[0],
        priced_as=charge.priced_as,
        price_class=charge.price_class,
        step=0,
        priced=once,
        priced_by=0,
        list_unit_pico=price,
        list_pico=charge.amount_pico,
        agreed_unit_pico=price,
        agreed_pico=charge.amount_pico,
    )


def _used_parts(reading: Reading, agreed: Price, listed: Price, span: PoolSpan) -> Iterator[UsedPart]:
    """The same parts at both prices: a discount changes no step."""
    pairs = zip(priced_parts(agreed, reading.quantity, span), priced_parts(listed, reading.quantity, span), strict=True)
    for ours, public in pairs:
        yield UsedPart(
            reading=reading,
            quantity=ours.quantity,
            price_book=reading.series.price_version.rpartition("@")[0],
            priced_as=agreed.meter,
            price_class=agreed.price_class,
            step=ours.step,
            priced=ours.priced,
            priced_by=agreed.package or 1,
            list_unit_pico=public.unit_pico,
            list_pico=public.amount_pico,
            agreed_unit_pico=ours.unit_pico,
            agreed_pico=ours.amount_pico,
        )
