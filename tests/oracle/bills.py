"""A customer's invoices, worked out the long way: every close looks at all usage there is by then.

Without a commitment the lines of a close are what all usage comes to less what earlier invoices charged. With one,
usage draws from it in the order of its hours. What is paid by the time (standing.py) is counted from nothing at each
close, by what is known then.
"""

from fractions import Fraction
from math import floor
from typing import NamedTuple

from tests.oracle import calendar
from tests.oracle.cases import UNIT_HOURS, Case, Deal, Edition, Promise, Reserved, Round, Row, Use
from tests.oracle.monthly import Known, date_begins, monthly_lines
from tests.oracle.papers import DIGITS, Line, Paper, decimal, money, near
from tests.oracle.prices import agreed, classes_of, cost, in_pico, is_believed, number, percents_of, row_of
from tests.oracle.promises import beyond_it, covers, drawn_of, last_month
from tests.oracle.standing import Held, seated, served_by_units, stood

_NOTHING = Fraction(0)

# (service month, model, meter, tier, class, unit price or None)
_Key = tuple[str, str, str, str, str, Fraction | None]
_Pool = tuple[str, str, Row]


class _Draft(NamedTuple):
    """quantity: of units in minutes. used: minutes of a reservation, and what they cost."""

    kind: str
    key: _Key
    quantity: Fraction | int
    exact: Fraction
    used: tuple[int, Fraction] | None = None


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
        self._closed: list[str] = []
        self._accounts = [_Account(office, case, deal) for deal in case.deals]
        self.unpriced: set[str] = set()
        self._waiting = sorted(case.uses, key=lambda use: use.arrives)

    def close(self, period: str) -> list[Paper]:
        """The invoices of a close. Usage that arrives behind it is not known yet."""
        known = [account for account in self._accounts if account.deal.arrives <= self._closes]
        arrived = [use for use in self._waiting if use.arrives <= self._closes]
        for use in arrived:
            if any(account.enter(use, self._closes) for account in known):
                self._waiting.remove(use)
        self.unpriced = {use.id for use in arrived} & {use.id for use in self._waiting}
        self._closed.append(period)
        papers = [account.close(self._closed, self._closes) for account in sorted(known, key=_id_of)]
        self._closes += 1
        return [paper for paper in papers if paper is not None]


class _Account:
    """One deal, with what was used and invoiced under it."""

    def __init__(self, office: Round, case: Case, deal: Deal) -> None:
        self._office = office
        self._case = case
        self.deal = deal
        self._zone = deal.zone
        self._begins = date_begins(deal.start, deal.zone)
        self._ends = date_begins(deal.end, deal.zone) if deal.end else 2**62
        self._editions = sorted((date_begins(edition.date, deal.zone), edition) for edition in deal.editions)
        self._used: dict[_Counted, int] = {}
        self._charged: dict[_Counted, int] = {}  # What of it is invoiced.
        self._invoiced: dict[_Key, tuple[int, Fraction]] = {}
        self._held: dict[tuple[str, Reserved], Held] = {}  # What of it is invoiced.
        self._seated: dict[tuple[str, str, str], tuple[Fraction, Fraction]] = {}
        self._lines: list[Known] = []
        self._periods: set[str] = set()
        self._spent = _NOTHING
        self._settled = _NOTHING

    def enter(self, use: Use, closes: int) -> bool:
        """Whether the usage is this deal's and has prices; then it is counted."""
        edition = self._edition(use.at)
        if edition is None or not self._begins <= use.at < self._ends:
            return False
        if served_by_units(self._case.units, use.deployment, use.at, closes):
            classes = ["provisioned", ""]
            rows: dict[str, Row | None] = {
                meter: Row(use.model, meter, use.tier, "0", of="provisioned") for meter in use.meters
            }
        else:
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
                self._used[known] = self._used.get(known, 0) + quantity
        return True

    def close(self, closed: list[str], closes: int) -> Paper | None:
        """The invoice of the last of the closed months, when something is left to invoice. closes: how many before."""
        period = closed[-1]
        end = calendar.begins(calendar.following(period), self._zone)
        is_again = period in self._periods
        counted = {known: quantity for known, quantity in self._used.items() if known.hour < end}
        paid, held = stood(self.deal, self._case.units, end, closes)
        for item in paid:
            of = (item.deployment, item.model, "default", item.geography, UNIT_HOURS, item.month, item.row)
            known = _Counted(item.hour, item.edition.date, *of)
            counted[known] = counted.get(known, 0) + item.minutes
        drafts = (self._drawn if self.deal.promise else self._rated)(period, end, is_again, counted)
        drafts = [self._exchanged(draft) for draft in (*drafts, *self._reserved(held))]
        drafts += self._seats(period, closes)
        lines = [(draft, self._round(draft.exact)) for draft in drafts]
        new = [Known(draft.kind, draft.key[0], amount) for draft, amount in lines]
        added = monthly_lines(self.deal, closed, new, self._lines, self._round)
        lines += [(_plain(line.kind, line.month, line.amount, line.of), line.amount) for line in added]
        if not lines:
            return None
        self._lines += new + added
        self._periods.add(period)
        return self._paper(period, lines)

    def _edition(self, at: int) -> Edition | None:
        begun = [edition for begins, edition in self._editions if begins <= at]
        return begun[-1] if begun else None

    def _key(self, counted: _Counted) -> _Key:
        row = counted.row
        if self.deal.grain == "model" and row.mode != "hourly":
            return counted.month, counted.model, "", "", "", None
        has_unit = row.mode in ("flat", "hourly")
        unit = agreed(row.price, row.per, percents_of(self.deal, row.model)) if has_unit else None
        return counted.month, counted.model, row.meter, counted.tier, row.of, unit

    def _rated(self, period: str, end: int, is_again: bool, counted: dict[_Counted, int]) -> list[_Draft]:
        """Everything there is before the end, rated from nothing, less what earlier invoices charged."""
        del end
        pools: dict[_Pool, int] = {}
        quantities: dict[_Key, int] = {}
        for item, quantity in counted.items():
            pool = (item.month, item.date, item.row)
            pools[pool] = pools.get(pool, 0) + quantity
            key = self._key(item)
            quantities[key] = quantities.get(key, 0) + quantity
        amounts: dict[_Key, Fraction] = {}
        for (month, date, row), quantity in pools.items():
            key = self._key(_Counted(0, date, "", row.model, row.tier, "", row.meter, month, row))
            amounts[key] = amounts.get(key, _NOTHING) + cost(row, percents_of(self.deal, row.model), quantity)
        drafts = []
        for key in amounts.keys() | self._invoiced.keys():
            now, before = (quantities.get(key, 0), amounts.get(key, _NOTHING)), self._invoiced.get(key, (0, _NOTHING))
            late = is_again or key[0] < period
            drafts.append(_Draft("adjustment" if late else "usage", key, now[0] - before[0], now[1] - before[1]))
            self._invoiced[key] = now
        return [draft for draft in drafts if draft.quantity or draft.exact]

    def _drawn(self, period: str, end: int, is_again: bool, counted: dict[_Counted, int]) -> list[_Draft]:
        """What is not invoiced yet, in the order of its hours, drawing the commitment down."""
        promise = self.deal.promise
        assert promise is not None
        within = calendar.begins(promise.first, self._zone), calendar.begins(promise.last, self._zone)
        pools = self._pools_invoiced()
        found: dict[tuple[str, _Key], tuple[int, Fraction]] = {}
        covered: dict[str, Fraction] = {}
        for item in sorted(counted.keys() | self._charged.keys()):
            quantity = counted.get(item, 0) - self._charged.get(item, 0)
            if not quantity:
                continue
            pool = (item.month, item.date, item.row)
            before = pools.get(pool, 0)
            pools[pool] = before + quantity
            self._charged[item] = counted.get(item, 0)
            percents = percents_of(self.deal, item.model)
            amount = cost(item.row, percents, before + quantity) - cost(item.row, percents, before)
            key = self._key(item)
            kind = "adjustment" if is_again or item.month < period else "usage"
            if not within[0] <= item.hour < within[1]:
                _add(found, kind, key, quantity, amount)
                continue
            before_pico, self._spent = self._spent, self._spent + amount
            drawn = drawn_of(promise, self._spent) - drawn_of(promise, before_pico)
            beyond = beyond_it(promise, self._spent) - beyond_it(promise, before_pico)
            limit = covers(promise)
            inside = min(self._spent, limit) - min(before_pico, limit)
            part = floor(quantity * inside / amount) if amount else quantity
            if part or drawn:
                _add(found, kind, key if number(promise.percent) == 0 else (*key[:5], None), part, drawn)
            if part != quantity or beyond:
                _add(found, "overage", (*key[:5], None) if promise.overage else key, quantity - part, beyond)
            covered[item.month] = covered.get(item.month, _NOTHING) + drawn
        drafts = [_Draft(kind, key, *sums) for (kind, key), sums in found.items() if sums[0] or sums[1]]
        return drafts + self._promised(promise, period, end >= within[1], covered)

    def _pools_invoiced(self) -> dict[_Pool, int]:
        pools: dict[_Pool, int] = {}
        for item, quantity in self._charged.items():
            pool = (item.month, item.date, item.row)
            pools[pool] = pools.get(pool, 0) + quantity
        return pools

    def _promised(self, promise: Promise, period: str, is_over: bool, covered: dict[str, Fraction]) -> list[_Draft]:
        """The lines of the commitment itself: what a month used of it is paid in that month, at its rate."""
        missing = _NOTHING
        if is_over:
            missing = number(promise.amount) - drawn_of(promise, self._spent) - self._settled
            self._settled += missing
        if not promise.prepaid:
            return [_plain("shortfall", last_month(promise), missing)] if missing else []
        drafts = [_plain("commitment", month, -covered[month]) for month in sorted(covered)]
        if period >= promise.first and not any(line.kind == "purchase" for line in self._lines):
            drafts.append(_plain("purchase", promise.first, number(promise.amount)))
        return [draft for draft in drafts if draft.exact]

    def _reserved(self, held: dict[tuple[str, Reserved], Held]) -> list[_Draft]:
        """What reservations come to less what is invoiced, used or not."""
        drafts = []
        for place in held.keys() | self._held.keys():
            month, item = place
            now, before = held.get(place, Held()), self._held.get(place, Held())
            price, minutes, used = number(item.price), now.minutes - before.minutes, now.used - before.used
            exact = in_pico(now.minutes * price / 60) - in_pico(before.minutes * price / 60)
            model = item.models[0] if len(item.models) == 1 else ""
            key = (month, model, UNIT_HOURS, "default", item.name, price)
            if minutes or used:
                drafts.append(_Draft("reservation", key, minutes, exact, (used, in_pico(used * price / 60))))
            self._held[place] = now
        return drafts

    def _seats(self, period: str, closes: int) -> list[_Draft]:
        """What seats come to less what is invoiced."""
        drafts = []
        for desk in self._case.desks:
            for item in seated(self.deal, desk, period, closes):
                place = (item.product, item.month, item.of)
                before = self._seated.get(place, (_NOTHING, _NOTHING))
                quantity, exact = item.quantity - before[0], item.exact - before[1]
                if quantity or exact:
                    key = (item.month, item.product, "seats", "default", item.of, number(item.price))
                    drafts.append(_Draft("subscription", key, quantity, exact))
                self._seated[place] = (item.quantity, item.exact)
        return drafts

    def _exchanged(self, draft: _Draft) -> _Draft:
        if self.deal.priced_in == self.deal.currency:
            return draft
        rate = number(self._rate(draft.key[0]))
        used = draft.used and (draft.used[0], in_pico(draft.used[1] * rate))
        return draft._replace(exact=in_pico(draft.exact * rate), used=used)

    def _rate(self, month: str) -> str:
        """The one that was agreed, or else the one in force at the month's end."""
        if self.deal.locked:
            return self.deal.locked
        end = calendar.begins(calendar.following(month), self._zone)
        known = [
            (calendar.midnight(*map(int, date.split("-")), "UTC"), rate)
            for sold, bought, date, rate in self._office.rates
            if (sold, bought) == (self.deal.priced_in, self.deal.currency)
        ]
        return max(item for item in known if item[0] < end)[1]

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
            taxes.append((levy.name, money(net, currency), money(due, currency)))
        total = sum((amount for _, amount in lines), _NOTHING)
        exact = sum((draft.exact for draft, _ in lines), _NOTHING)
        return Paper(
            period,
            self.deal.id,
            currency,
            tuple(sorted(_line(draft, amount, currency) for draft, amount in lines)),
            tuple(taxes),
            money(total, currency),
            money(tax, currency),
            money(total + tax, currency),
            decimal(exact - total),
        )

    def _round(self, value: Fraction) -> Fraction:
        """Rounded to the currency's minor unit, as the operator does."""
        scale = 10 ** DIGITS[self.deal.currency]
        if self._office.rounding == "half_even":
            return Fraction(round(value * scale), scale)
        nearest = floor(abs(value) * scale + Fraction(1, 2))
        return Fraction(nearest if value >= 0 else -nearest, scale)


def _id_of(account: _Account) -> str:
    return account.deal.id


def _is_priced(row: Row | None, quantity: int) -> bool:
    return not quantity if row is None else is_believed(row, quantity)


def _add(
    found: dict[tuple[str, _Key], tuple[int, Fraction]], kind: str, key: _Key, quantity: int, amount: Fraction
) -> None:
    before = found.get((kind, key), (0, _NOTHING))
    found[kind, key] = before[0] + quantity, before[1] + amount


def _plain(kind: str, month: str, exact: Fraction, of: str = "") -> _Draft:
    return _Draft(kind, (month, "", "", "", of, None), 0, exact)


def _line(draft: _Draft, amount: Fraction, currency: str) -> Line:
    month, model, meter, tier, of, unit = draft.key
    minutes, used = draft.used or (0, _NOTHING)
    return Line(
        draft.kind,
        month,
        model,
        meter,
        tier,
        of,
        near(Fraction(draft.quantity, 60) if meter == UNIT_HOURS else draft.quantity),
        "" if unit is None else decimal(unit),
        decimal(draft.exact),
        money(amount, currency),
        f"{near(Fraction(minutes, 60))} {decimal(used)}" if draft.used else "",
    )
