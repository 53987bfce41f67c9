"""A customer's invoices, worked out the long way: every close looks at all usage there is by then.

Without a commitment the lines of a close are what all usage comes to less what earlier invoices charged. With one,
usage draws from it in the order of its hours.
"""

from fractions import Fraction
from math import ceil, floor
from typing import NamedTuple

from tests.oracle import calendar
from tests.oracle.cases import Case, Deal, Edition, Promise, Round, Row, Use
from tests.oracle.monthly import Known, date_begins, monthly_lines
from tests.oracle.prices import PICO, agreed, classes_of, cost, in_pico, is_believed, number, percents_of, row_of

_DIGITS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
_NOTHING = Fraction(0)

# (service month, model, meter, tier, class, unit price or None)
_Key = tuple[str, str, str, str, str, Fraction | None]
_Pool = tuple[str, str, Row]


class Line(NamedTuple):
    """A line of an invoice, as it is compared."""

    kind: str
    month: str
    model: str
    meter: str
    tier: str
    of: str
    quantity: str
    unit: str  # "" where one unit costs more than another
    exact: str
    amount: str


class Paper(NamedTuple):
    """An invoice, as it is compared; lines sorted. taxes: (name, net, amount)."""

    period: str
    deal: str
    currency: str
    lines: tuple[Line, ...]
    taxes: tuple[tuple[str, str, str], ...]
    net: str
    tax: str
    total: str
    residual: str


class _Draft(NamedTuple):
    kind: str
    key: _Key
    quantity: int
    exact: Fraction


class _Counted(NamedTuple):
    """A reading: what is counted together. hour: its beginning."""

    hour: int
    date: str
    deployment: str
    model: str
    tier: str
    classes: str
    meter: str
    month: str
    row: Row


class Customer:
    """A case's books. Call `close` for each close in turn."""

    def __init__(self, office: Round, case: Case) -> None:
        self._office = office
        self._case = case
        self._closes = 0
        self._accounts = [_Account(office, deal) for deal in case.deals]
        self.unpriced: set[str] = set()
        self._waiting = sorted(case.uses, key=lambda use: use.arrives)

    def close(self, period: str) -> list[Paper]:
        """The invoices of a close. Usage that arrives behind it is not known yet."""
        while self._waiting and self._waiting[0].arrives <= self._closes:
            self._enter(self._waiting.pop(0))
        self._closes += 1
        papers = [account.close(period) for account in sorted(self._accounts, key=lambda item: item.deal.id)]
        return [paper for paper in papers if paper is not None]

    def _enter(self, use: Use) -> None:
        if not any(account.enter(use) for account in self._accounts):
            self.unpriced.add(use.id)


class _Account:
    """One deal, with what was used and invoiced under it."""

    def __init__(self, office: Round, deal: Deal) -> None:
        self._office = office
        self.deal = deal
        self._zone = deal.zone
        self._begins = date_begins(deal.start, deal.zone)
        self._ends = date_begins(deal.end, deal.zone) if deal.end else 2**62
        self._editions = sorted((date_begins(edition.date, deal.zone), edition) for edition in deal.editions)
        self._counted: dict[_Counted, int] = {}
        self._charged: dict[_Counted, int] = {}  # What of it is invoiced.
        self._invoiced: dict[_Key, tuple[int, Fraction]] = {}
        self._lines: list[Known] = []
        self._periods: set[str] = set()
        self._spent = _NOTHING
        self._settled = _NOTHING

    def enter(self, use: Use) -> bool:
        """Whether the usage is this deal's and has prices; then it is counted."""
        edition = self._edition(use.at)
        if edition is None or not self._begins <= use.at < self._ends:
            return False
        classes = classes_of(edition, use)
        rows = {meter: row_of(edition, use.model, use.tier, meter, classes) for meter in use.meters}
        if not all(_is_priced(rows[meter], quantity) for meter, quantity in use.meters.items()):
            return False
        month = calendar.month_of(use.at, self._zone)
        hour = max(use.at - use.at % calendar.HOUR, calendar.begins(month, self._zone))
        for meter, quantity in use.meters.items():
            row = rows[meter]
            if row is not None and quantity:
                known = _Counted(
                    hour, edition.date, use.deployment, use.model, use.tier, " ".join(classes[:-1]), meter, month, row
                )
                self._counted[known] = self._counted.get(known, 0) + quantity
        return True

    def close(self, period: str) -> Paper | None:
        """The invoice of a period, when something is left to invoice."""
        end = calendar.begins(calendar.following(period), self._zone)
        is_again = period in self._periods
        drafts = self._drawn(period, end, is_again) if self.deal.promise else self._rated(period, end, is_again)
        drafts = [self._exchanged(draft) for draft in drafts]
        lines = [(draft, self._round(draft.exact)) for draft in drafts]
        known = [Known(draft.kind, draft.key[0], amount) for draft, amount in lines]
        added = monthly_lines(self.deal, period, known, self._lines, self._round)
        lines += [(_plain(line.kind, line.month, line.amount, line.of), line.amount) for line in added]
        if not lines:
            return None
        self._lines += known + added
        self._periods.add(period)
        return self._paper(period, lines)

    def _edition(self, at: int) -> Edition | None:
        begun = [edition for begins, edition in self._editions if begins <= at]
        return begun[-1] if begun else None

    def _key(self, counted: _Counted) -> _Key:
        if self.deal.grain == "model":
            return counted.month, counted.model, "", "", "", None
        row = counted.row
        unit = agreed(row.price, row.per, percents_of(self.deal, row.model)) if row.mode == "flat" else None
        return counted.month, counted.model, row.meter, counted.tier, row.of, unit

    def _rated(self, period: str, end: int, is_again: bool) -> list[_Draft]:
        """Everything there is, rated from nothing, less what earlier invoices charged."""
        pools: dict[_Pool, int] = {}
        quantities: dict[_Key, int] = {}
        for counted, quantity in self._counted.items():
            if counted.hour < end:
                pool = (counted.month, counted.date, counted.row)
                pools[pool] = pools.get(pool, 0) + quantity
                key = self._key(counted)
                quantities[key] = quantities.get(key, 0) + quantity
        amounts: dict[_Key, Fraction] = {}
        for (month, date, row), quantity in pools.items():
            key = self._key(_Counted(0, date, "", row.model, row.tier, "", row.meter, month, row))
            amounts[key] = amounts.get(key, _NOTHING) + cost(row, percents_of(self.deal, row.model), quantity)
        drafts = []
        for key, amount in amounts.items():
            before = self._invoiced.get(key, (0, _NOTHING))
            late = is_again or key[0] < period
            drafts.append(
                _Draft("adjustment" if late else "usage", key, quantities[key] - before[0], amount - before[1])
            )
            self._invoiced[key] = (quantities[key], amount)
        return [draft for draft in drafts if draft.quantity or draft.exact]

    def _drawn(self, period: str, end: int, is_again: bool) -> list[_Draft]:
        """What is not invoiced yet, in the order of its hours, drawing the commitment down."""
        promise = self.deal.promise
        assert promise is not None
        within = calendar.begins(promise.first, self._zone), calendar.begins(promise.last, self._zone)
        pools = self._pools_invoiced()
        found: dict[tuple[str, _Key], tuple[int, Fraction]] = {}
        covered = _NOTHING
        new = {
            item: left for item, all_of_it in self._counted.items() if (left := all_of_it - self._charged.get(item, 0))
        }
        for counted in sorted(item for item in new if item.hour < end):
            quantity = new[counted]
            pool = (counted.month, counted.date, counted.row)
            before = pools.get(pool, 0)
            pools[pool] = before + quantity
            self._charged[counted] = self._counted[counted]
            percents = percents_of(self.deal, counted.model)
            amount = cost(counted.row, percents, before + quantity) - cost(counted.row, percents, before)
            key = self._key(counted)
            kind = "adjustment" if is_again or counted.month < period else "usage"
            if not within[0] <= counted.hour < within[1]:
                _add(found, kind, key, quantity, amount)
                continue
            before_pico, self._spent = self._spent, self._spent + amount
            drawn = _drawn(promise, self._spent) - _drawn(promise, before_pico)
            beyond = _beyond(promise, self._spent) - _beyond(promise, before_pico)
            limit = _covers(promise)
            inside = min(self._spent, limit) - min(before_pico, limit)
            part = floor(quantity * inside / amount) if amount else quantity
            if part or drawn:
                _add(found, kind, key if number(promise.percent) == 0 else (*key[:5], None), part, drawn)
            if part != quantity or beyond:
                _add(found, "overage", (*key[:5], None) if promise.overage else key, quantity - part, beyond)
            covered += drawn
        drafts = [_Draft(kind, key, *sums) for (kind, key), sums in found.items() if sums[0] or sums[1]]
        return drafts + self._promised(promise, period, end >= within[1], covered)

    def _pools_invoiced(self) -> dict[_Pool, int]:
        pools: dict[_Pool, int] = {}
        for counted, quantity in self._charged.items():
            pool = (counted.month, counted.date, counted.row)
            pools[pool] = pools.get(pool, 0) + quantity
        return pools

    def _promised(self, promise: Promise, period: str, is_over: bool, covered: Fraction) -> list[_Draft]:
        """The lines of the commitment itself."""
        missing = _NOTHING
        if is_over:
            missing = number(promise.amount) - _drawn(promise, self._spent) - self._settled
            self._settled += missing
        if not promise.prepaid:
            return [_plain("shortfall", _last_month(promise), missing)] if missing else []
        drafts = [_plain("commitment", period, -covered)]
        if period >= promise.first and not any(line.kind == "purchase" for line in self._lines):
            drafts.append(_plain("purchase", promise.first, number(promise.amount)))
        return [draft for draft in drafts if draft.exact]

    def _exchanged(self, draft: _Draft) -> _Draft:
        if self.deal.priced_in == self.deal.currency:
            return draft
        if self.deal.locked:
            return draft._replace(exact=in_pico(draft.exact * number(self.deal.locked)))
        end = calendar.begins(calendar.following(draft.key[0]), self._zone)
        known = [
            (calendar.midnight(*map(int, date.split("-")), "UTC"), rate)
            for sold, bought, date, rate in self._office.rates
            if (sold, bought) == (self.deal.priced_in, self.deal.currency)
        ]
        rate = max(item for item in known if item[0] < end)[1]
        return draft._replace(exact=in_pico(draft.exact * number(rate)))

    def _paper(self, period: str, lines: list[tuple[_Draft, Fraction]]) -> Paper:
        currency = self.deal.currency
        taxes = []
        nets = [_NOTHING] * len(self.deal.levies)
        for draft, amount in lines:
            for place, levy in enumerate(self.deal.levies):
                if not levy.models or draft.key[1] in levy.models:
                    nets[place] += amount
                    break
        tax = _NOTHING
        for levy, net in zip(self.deal.levies, nets, strict=True):
            due = self._round(net * number(levy.percent) / 100)
            tax += due
            taxes.append((levy.name, _money(net, currency), _money(due, currency)))
        total = sum((amount for _, amount in lines), _NOTHING)
        exact = sum((draft.exact for draft, _ in lines), _NOTHING)
        return Paper(
            period,
            self.deal.id,
            currency,
            tuple(sorted(_line(draft, amount, currency) for draft, amount in lines)),
            tuple(taxes),
            _money(total, currency),
            _money(tax, currency),
            _money(total + tax, currency),
            _decimal(exact - total),
        )

    def _round(self, value: Fraction) -> Fraction:
        """Rounded to the currency's minor unit, as the operator does."""
        scale = 10 ** _DIGITS[self.deal.currency]
        if self._office.rounding == "half_even":
            return Fraction(round(value * scale), scale)
        nearest = floor(abs(value) * scale + Fraction(1, 2))
        return Fraction(nearest if value >= 0 else -nearest, scale)


def _is_priced(row: Row | None, quantity: int) -> bool:
    return not quantity if row is None else is_believed(row, quantity)


def _last_month(promise: Promise) -> str:
    month = promise.first
    while calendar.following(month) != promise.last:
        month = calendar.following(month)
    return month


def _covers(promise: Promise) -> Fraction:
    """How much usage at list a commitment covers; whole pico, so that none of it is left."""
    return Fraction(ceil(number(promise.amount) * 100 / (100 - number(promise.percent)) * PICO), PICO)


def _drawn(promise: Promise, charged: Fraction) -> Fraction:
    """What of it is spent, in whole pico, once usage came to so much at list."""
    spent = max(_NOTHING, charged) * (100 - number(promise.percent)) / 100
    return min(number(promise.amount), Fraction(floor(spent * PICO), PICO))


def _beyond(promise: Promise, charged: Fraction) -> Fraction:
    """What is owed beyond it, in whole pico."""
    beyond = max(_NOTHING, charged - _covers(promise))
    if not promise.overage:
        return beyond
    owed = beyond * (100 - number(promise.percent)) / 100 * number(promise.overage)
    return Fraction(floor(owed * PICO), PICO)


def _add(
    found: dict[tuple[str, _Key], tuple[int, Fraction]], kind: str, key: _Key, quantity: int, amount: Fraction
) -> None:
    before = found.get((kind, key), (0, _NOTHING))
    found[kind, key] = before[0] + quantity, before[1] + amount


def _plain(kind: str, month: str, exact: Fraction, of: str = "") -> _Draft:
    return _Draft(kind, (month, "", "", "", of, None), 0, exact)


def _line(draft: _Draft, amount: Fraction, currency: str) -> Line:
    month, model, meter, tier, of, unit = draft.key
    return Line(
        draft.kind,
        month,
        model,
        meter,
        tier,
        of,
        str(draft.quantity),
        "" if unit is None else _decimal(unit),
        _decimal(draft.exact),
        _money(amount, currency),
    )


def _decimal(value: Fraction) -> str:
    """Decimal text without needless digits; the value has at most twelve behind the point."""
    scaled = value * PICO
    assert scaled.denominator == 1, value
    whole, rest = divmod(abs(scaled.numerator), PICO)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return f"-{text}" if value < 0 else text


def _money(value: Fraction, currency: str) -> str:
    digits = _DIGITS[currency]
    scaled = value * 10**digits
    assert scaled.denominator == 1, value
    sign, units = ("-", -scaled.numerator) if value < 0 else ("", scaled.numerator)
    if not digits:
        return f"{sign}{units}"
    return f"{sign}{units // 10**digits}.{units % 10**digits:0{digits}d}"
