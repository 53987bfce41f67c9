"""What an organization's usage cost, day by day, as OpenAI's costs page tells it.

Usage is on its day; what an invoice has beside usage (taxes, minimums, what was rounded) on the last day of its month,
so that the days of a closed month sum to its invoices. Where one price says what usage costs, the days' usage is asked
for and nothing else; only costs that depend on more than that are taken from their invoices.
"""

from collections import defaultdict
from collections.abc import Iterator

from entrepot.core.charges import Reading, Series
from entrepot.core.periods import DAY, Instant, Period, parse_period, period_of
from entrepot.core.prices import Price
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Cap, Credit, Discount, Minimum, Tax
from entrepot.core.tokens import METERS_OF_UNITS
from entrepot.core.world import WorldIndex
from entrepot.exporting.costs import Cost, allotted
from entrepot.exporting.organization import Asked, Bucket, buckets_of
from entrepot.exporting.organization_costs import Spent, SpentSums, spent_on
from entrepot.flows.tell_costs.contract_costs import ContractCosts
from entrepot.ports.books import Books
from entrepot.rating.rate_usage import Rater

# Under other terms than these what usage costs depends on the month's other usage, or is in another currency.
_PLAIN_TERMS = (Discount, Minimum, Tax, Cap, Credit)


def organization_costs(books: Books, terms: WorldIndex | None, asked: Asked) -> list[Bucket]:
    """Every day asked for, with a result for each group and currency."""
    if terms is None:
        return list(buckets_of(asked, {}))
    sums: dict[tuple[Instant, tuple[object, ...]], SpentSums] = defaultdict(SpentSums)
    for at, series, key, spent in _OrganizationCosts(books, terms, asked).all():
        project = series.project or None if series else None
        known: dict[str, object] = {"project_id": project, "line_item": spent.line_item, "api_key_id": key}
        group = tuple(known[name] for name in asked.group_by)
        sums[at - at % asked.width, group].add(spent)
    results: dict[Instant, list[dict[str, object]]] = defaultdict(list)
    for begins, group in sorted(sums, key=repr):
        results[begins] += sums[begins, group].results(dict(zip(asked.group_by, group, strict=True)))
    return list(buckets_of(asked, results))


# When, whose, by which key, and what; None of what is of no usage, or not to be told.
_Placed = tuple[Instant, Series | None, str | None, Spent]


class _OrganizationCosts:
    def __init__(self, books: Books, terms: WorldIndex, asked: Asked) -> None:
        self._books = books
        self._terms = terms
        self._asked = asked
        self._from_invoices: set[str] = set()  # Contracts with usage whose cost is not a price times a quantity.

    def all(self) -> Iterator[_Placed]:
        """Everything that was spent."""
        yield from self._by_price()
        for contract_id in sorted(self._from_invoices):
            yield from self._invoiced(contract_id)
            yield from self._not_invoiced(contract_id)
        if self._asked.projects is None and self._asked.keys is None:
            yield from self._beside_usage()

    def _by_price(self) -> Iterator[_Placed]:
        for at, series, key, meters in self._usage():
            contract = self._terms.contract(series.contract)
            for meter, quantity in meters.items():
                price = self._plain_price(contract, series, meter)
                if price is None:
                    self._from_invoices.add(contract.id)
                else:
                    amount_pico = quantity * price.unit_pico
                    yield at, series, key, spent_on(series, meter, quantity, contract.currency, amount_pico)

    def _usage(self) -> Iterator[tuple[Instant, Series, str | None, dict[str, int]]]:
        """Told apart by key, usage is read from its requests; units run without any, and have no key."""
        asked = self._asked
        by_key = asked.keys is not None or "api_key_id" in asked.group_by
        if by_key:
            for series, event in self._books.events_in(asked.since, asked.until, asked.wants):
                if asked.wants_event(event):
                    yield event.admitted_at, series, event.key or None, event.meters
        if asked.keys is not None:
            return
        for used in self._books.usage_by_bucket(asked.since, asked.until, asked.width, asked.wants):
            meters = used.meters
            if by_key:
                meters = {meter: quantity for meter, quantity in meters.items() if meter in METERS_OF_UNITS}
            yield used.begins, used.series, None, meters

    def _plain_price(self, contract: Contract, series: Series, meter: str) -> Price | None:
        """The price, where a quantity times it is what usage costs."""
        if contract.charged_in != contract.currency:
            return None
        if not all(isinstance(term, _PLAIN_TERMS) for term in contract.terms):
            return None
        table = self._terms.agreed_prices(series.contract, series.price_version)
        price = table.price(series.model, meter, series.tier, series.price_class)
        return price if price is not None and price.mode == "flat" else None

    def _invoiced(self, contract_id: str) -> Iterator[_Placed]:
        if self._asked.keys is not None:
            return
        contract = self._terms.contract(contract_id)
        walk = ContractCosts(self._books, self._terms, contract)
        for cost in walk.used_in({str(period) for period in self._months(contract.zone)}):
            for reading, quantity, pico in self._readings_of(cost):
                if self._is_asked(contract, reading):
                    spent = spent_on(reading.series, reading.meter, quantity, contract.currency, pico)
                    yield reading.hour, reading.series, None, spent

    def _readings_of(self, cost: Cost) -> Iterator[tuple[Reading, int, int]]:
        """(reading, how much of it, what is to be paid for that); by quantity where no prices explain a line."""
        if cost.used is not None:
            yield cost.used.reading, cost.used.quantity, cost.billed_pico
            return
        assert cost.line is not None, "usage is on a line"
        readings = self._books.readings_of_line(cost.invoice.number, cost.line.number)
        quantities = [reading.quantity for reading in readings]
        shares = allotted(cost.billed_pico, quantities if sum(quantities) else [1] * len(readings))
        yield from zip(readings, quantities, shares, strict=True)

    def _not_invoiced(self, contract_id: str) -> Iterator[_Placed]:
        """What no invoice has yet, at the contract's prices and in their currency."""
        if self._asked.keys is not None:
            return
        contract = self._terms.contract(contract_id)
        rater = Rater(self._terms, lambda pool: self._books.pooled(pool).invoiced)
        for reading in self._books.uninvoiced_readings(contract_id, self._asked.until):
            charge = rater.rate(reading)
            if self._is_asked(contract, reading):
                spent = spent_on(
                    reading.series, reading.meter, reading.quantity, contract.charged_in, charge.amount_pico
                )
                yield reading.hour, reading.series, None, spent

    def _is_asked(self, contract: Contract, reading: Reading) -> bool:
        """Whether it is of these days, wanted, and not told by its price."""
        is_of_days = self._asked.since <= reading.hour < self._asked.until
        return (
            is_of_days
            and self._asked.wants(reading.series)
            and self._plain_price(contract, reading.series, reading.meter) is None
        )

    def _beside_usage(self) -> Iterator[_Placed]:
        """Only invoices of months that end in these days are looked at."""
        for period in self._months("UTC"):
            for invoice in self._books.invoices(str(period)):
                contract = self._terms.contract(invoice.contract)
                last = parse_period(invoice.period).end(contract.zone) - 1
                is_asked = self._asked.customer in (None, invoice.customer)
                if is_asked and self._asked.since <= last < self._asked.until:
                    for cost in ContractCosts(self._books, self._terms, contract).beside_usage(invoice):
                        yield last, None, None, Spent(invoice.currency, cost.billed_pico, _item_of(cost))

    def _months(self, zone: str) -> Iterator[Period]:
        """The months that these days are of, in any zone."""
        period = period_of(max(0, self._asked.since - DAY), zone)
        while period.start(zone) < self._asked.until + DAY:
            yield period
            period = period.next()


def _item_of(cost: Cost) -> str:
    if cost.kind == "rounding":
        return "rounding"
    if cost.kind == "tax" or cost.line is None:
        return cost.label
    return ", ".join(word for word in (cost.line.kind, cost.line.model, cost.line.what) if word)
