"""Our counts beside a partner's: what is missing, what is too much, what has another price, and what it is worth."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal, NamedTuple

import msgspec

from entrepot.core.money import PICO, format_pico, parse_pico
from entrepot.core.partner_usage import COST, PartnerCharges, ReportedKind, ReportedRow, charged_for
from entrepot.reconciling.our_counts import Cell, OurCounts
from entrepot.reconciling.steps import lasting_steps

# missing: we counted, the partner says nothing of it; unknown: the partner says, we counted nothing. less, more: the
# partner's count beside ours. price: what the partner charges beside its own count at the agreed price.
FindingKind = Literal["missing", "unknown", "less", "more", "price"]

# (model, meter, tier, day) -> the agreed price of a unit in pico, or None.
PriceOf = Callable[[str, str, str, int], int | None]


class Finding(msgspec.Struct, frozen=True):
    """One difference, as decimal text. of a price finding the amounts are money, else units.

    lasting: the least of the difference that neither rounding nor requests on their way at midnight explain.
    worth: the lasting part in money, what the partner charges more than we counted; None without a price.
    """

    kind: FindingKind
    day: str
    model: str
    upstream: str
    meter: str
    ours: str
    theirs: str
    difference: str
    lasting: str
    worth: str | None


class Unmapped(msgspec.Struct, frozen=True):
    """What a partner charges for under names that nothing of ours has been declared for."""

    key: str
    item: str
    meter: str
    quantity: str
    cost: str


class _Theirs(NamedTuple):
    """A partner's units and money by day, in pico, with how far rounding may have gone."""

    told: list[bool]
    pico: list[int]
    slack: list[int]


class _Price(NamedTuple):
    """Of a unit in pico, on average, and how far it may be off where a request counts on another day."""

    mean: Fraction
    spread: int


class Comparison:
    """A partner's rows beside our counts. days: labels. told: by kind, which days the partner tells of."""

    def __init__(
        self,
        charges: PartnerCharges,
        days: Sequence[str],
        told: Mapping[ReportedKind, Sequence[bool]],
        models_of: Mapping[str, str],
        price_of: PriceOf,
    ) -> None:
        self._charges = charges
        self._days = days
        self._told = told
        self._models_of = models_of
        self._price_of = price_of
        self._units: dict[Cell, _Theirs] = {}
        self._money: dict[Cell, _Theirs] = {}
        self._unmapped: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0])
        self.currencies: set[str] = set()

    def add(self, row: ReportedRow, day: int, *, by_key: bool) -> None:
        """Takes a row of a day in."""
        declared = self._charges.items.get(row.item)
        model, meter = (self._models_of.get(row.item, ""), "") if declared is None else charged_for(declared)
        meter = row.meter or meter
        upstream = self._charges.upstreams.get(row.key, "") if row.key else ""
        if not model or (row.key and by_key and not upstream) or (row.quantity and not meter):
            held = self._unmapped[row.key, row.item, row.meter]
            held[0] += parse_pico(row.quantity or "0")
            held[1] += parse_pico(row.cost or "0")
            return
        cell = Cell(model, upstream if by_key else "", meter)
        if row.quantity:
            self._put(self._units, cell, day, row.quantity, row.quantity_slack)
        if row.cost:
            self._put(self._money, cell, day, row.cost, row.cost_slack)
            if row.currency:  # A table may have no column for it.
                self.currencies.add(row.currency)

    def _put(self, table: dict[Cell, _Theirs], cell: Cell, day: int, amount: str, slack: str) -> None:
        count = len(self._days)
        theirs = table.setdefault(cell, _Theirs([False] * count, [0] * count, [0] * count))
        theirs.told[day] = True
        theirs.pico[day] += parse_pico(amount)
        theirs.slack[day] += parse_pico(slack)

    def unmapped(self) -> list[Unmapped]:
        """Everything that could not be held against anything."""
        return [
            Unmapped(key, item, meter, format_pico(units), format_pico(money))
            for (key, item, meter), (units, money) in sorted(self._unmapped.items())
        ]

    def findings(self, ours: OurCounts) -> list[Finding]:
        """All differences, by day, model, upstream and meter."""
        found = [*self._of_units(ours), *self._of_money(ours)]
        return sorted(found, key=lambda item: (item.day, item.model, item.upstream, item.meter, item.kind))

    def likeliest(self, ways: Sequence[OurCounts]) -> OurCounts:
        """Our counts as the partner counts: the way that leaves the fewest differences, the first of several."""
        return min(ways, key=lambda ours: len(self.findings(ours)))

    def totals(self, ours: OurCounts) -> Iterator[tuple[Cell, int, int]]:
        """(cell, our units, theirs) over the days that the partner tells of."""
        for cell in sorted(ours.units.keys() | self._units.keys()):
            counted, theirs = self._both(ours, cell)
            days = [day for day, told in enumerate(self._told["usage"]) if told]
            yield cell, sum(counted[day] for day in days), sum(theirs.pico[day] for day in days) // PICO

    def cost(self) -> int:
        """What the partner charges for what could be mapped, in pico."""
        return sum(sum(theirs.pico) for theirs in self._money.values())

    def _both(self, ours: OurCounts, cell: Cell) -> tuple[list[int], _Theirs]:
        count = len(self._days)
        counted = ours.units.get(cell, [0] * count)
        return counted, self._units.get(cell, _Theirs([False] * count, [0] * count, [0] * count))

    def _of_units(self, ours: OurCounts) -> Iterator[Finding]:
        for cell in sorted(ours.units.keys() | self._units.keys()):
            counted, theirs = self._both(ours, cell)
            midnights = ours.midnights(cell)
            for first, last in _runs(self._told["usage"]):
                differences = [theirs.pico[day] // PICO - counted[day] for day in range(first, last)]
                steps = lasting_steps(differences, midnights[first : last + 1])
                for day, step in zip(range(first, last), steps, strict=True):
                    allowed = self._charges.allowed_pico(cell.meter, counted[day] * PICO) + theirs.slack[day]
                    if abs(step) * PICO > allowed:
                        price = self._price(ours, cell, day)
                        yield self._unit_finding(cell, day, counted[day], theirs, step, price)

    def _unit_finding(
        self, cell: Cell, day: int, counted: int, theirs: _Theirs, step: int, price: _Price | None
    ) -> Finding:
        kind: FindingKind = "more" if step > 0 else "less"
        if not theirs.told[day]:
            kind = "missing"
        elif not counted:
            kind = "unknown"
        return Finding(
            kind=kind,
            day=self._days[day],
            model=cell.model,
            upstream=cell.upstream,
            meter=cell.meter,
            ours=str(counted),
            theirs=format_pico(theirs.pico[day]),
            difference=format_pico(theirs.pico[day] - counted * PICO),
            lasting=str(step),
            worth=None if price is None else format_pico(round(step * price.mean)),
        )

    def _of_money(self, ours: OurCounts) -> Iterator[Finding]:
        """Costs beside the partner's own counts at the agreed prices, or beside ours where it tells none."""
        for cell, money in sorted(self._money.items()):
            for day, told in enumerate(money.told):
                if not told:
                    continue
                expected, slack = self._expected(ours, cell, day)
                if expected is None:
                    continue
                difference = money.pico[day] - expected
                allowed = self._charges.allowed_pico(COST, expected) + money.slack[day] + slack
                if abs(difference) > allowed:
                    yield Finding(
                        kind="price",
                        day=self._days[day],
                        model=cell.model,
                        upstream=cell.upstream,
                        meter=cell.meter,
                        ours=format_pico(expected, 2),
                        theirs=format_pico(money.pico[day], 2),
                        difference=format_pico(difference, 2),
                        lasting=format_pico(difference, 2),
                        worth=format_pico(difference, 2),
                    )

    def _expected(self, ours: OurCounts, of: Cell, day: int) -> tuple[int | None, int]:
        """(what a day should cost, how far that may be off), in pico; None without a price for all of it."""
        expected = slack = 0
        told = self._told["usage"][day]
        for cell in self._units if told else ours.units:
            if not _is_part(cell, of):
                continue
            price = self._price(ours, cell, day)
            if price is None:
                return None, 0
            crossed = sum(midnight.late + midnight.early for midnight in ours.midnights(cell)[day : day + 2])
            if told:
                theirs = self._units[cell]
                expected += theirs.pico[day] * price.mean // PICO
                slack += theirs.slack[day] * price.mean // PICO + crossed * price.spread
            else:
                expected += round(ours.units[cell][day] * price.mean)
                slack += round(crossed * (price.mean + price.spread))
        return expected, slack

    def _price(self, ours: OurCounts, cell: Cell, day: int) -> _Price | None:
        """What a unit costs at the tiers that we counted on a day; None without a price for one of them."""
        counted = ours.tiers(cell, day) or {"default": 1}
        prices = {tier: self._price_of(cell.model, cell.meter, tier, day) for tier in counted}
        known = {tier: price for tier, price in prices.items() if price is not None}
        if len(known) < len(prices):
            return None
        cost = sum(units * known[tier] for tier, units in counted.items())
        return _Price(Fraction(cost, sum(counted.values())), max(known.values()) - min(known.values()))


def _is_part(cell: Cell, of: Cell) -> bool:
    """Whether a cell of units is in what a cost is for; costs may tell neither meter nor upstream."""
    return cell.model == of.model and of.upstream in ("", cell.upstream) and of.meter in ("", cell.meter)


def _runs(told: Iterable[bool]) -> Iterator[tuple[int, int]]:
    """[first, last) of neighbouring days that are told of; what lies between is not compared."""
    first = None
    for day, is_told in enumerate([*told, False]):
        if is_told and first is None:
            first = day
        elif not is_told and first is not None:
            yield first, day
            first = None
