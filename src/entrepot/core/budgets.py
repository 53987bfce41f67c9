"""Budgets: what a customer, a project or a key may spend, the counters that hold it, and what the books know of them.

A budget is counted in pico of its customer's currency or in tokens, over a month of the customer's contract, or for
good. A prepaid balance is a budget that grows with each payment.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from entrepot.core.capacity import Limit, Measure
from entrepot.core.money import format_pico
from entrepot.core.periods import END_OF_TIME, Instant, Period, parse_period, period_of

BudgetKind = Literal["monthly", "total", "prepaid"]
BudgetMode = Literal["hard", "soft"]
Scope = Literal["customer", "project", "key"]

THRESHOLDS = (50, 80, 100)
HELD_MAX = 2**63 - 1  # Units that one request is counted with at most; records and counters keep 64 bits.


class Budget(msgspec.Struct, frozen=True, gc=False):
    """What may be spent. units: pico or tokens, of a prepaid balance what its payments say. hard: nothing is served
    beyond it. thresholds: in per cent, of which somebody is told: webhook is an address, email are recipients.
    """

    units: int
    measure: Measure = "money"
    kind: BudgetKind = "monthly"
    mode: BudgetMode = "hard"
    thresholds: tuple[int, ...] = THRESHOLDS
    webhook: str = ""
    email: tuple[str, ...] = ()

    def __str__(self) -> str:
        every = ", ".join(f"{percent} %" for percent in self.thresholds)
        return f"{self.mode}, {self.kind}, {self.limit}, told at {every}"

    @property
    def limit(self) -> str:
        """Its units in words: money as an amount of the customer's currency."""
        return format_pico(self.units, 2) if self.measure == "money" else f"{self.units} tokens"


class TopUp(msgspec.Struct, frozen=True, gc=False):
    """A payment into a prepaid balance, to be spent from an instant on."""

    on: Instant
    pico: int


class OwnedBudget(msgspec.Struct, frozen=True, gc=False):
    """A budget and whose it is. customer: the one it belongs to in the end; its contract has the zone and currency.

    keys: of a key's, the key and those it replaced, one after another, as far as they are known here; the first of all
    is the owner.
    """

    scope: Scope
    owner: str
    customer: str
    budget: Budget
    zone: str = "UTC"
    currency: str = ""
    top_ups: tuple[TopUp, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The budget's name: "project/search/monthly/money"."""
        return f"{self.scope}/{self.owner}/{self.budget.kind}/{self.budget.measure}"

    def term_at(self, at: Instant) -> "Term":
        """The term of the budget that an instant is in."""
        if self.budget.kind == "monthly":
            return self.term_of(period_of(at, self.zone))
        begins, ends, units = 0, END_OF_TIME, self.budget.units
        for top_up in self.top_ups:
            if top_up.on <= at:
                begins, units = top_up.on, units + top_up.pico
            else:
                ends = min(ends, top_up.on)
        return Term(begins, ends, "", self._limit(self.id, units))

    def term_of(self, period: Period) -> "Term":
        """The term of a monthly budget that is this month."""
        limit = self._limit(f"{self.id}/{period}", self.budget.units)
        return Term(period.start(self.zone), period.end(self.zone), str(period), limit)

    @property
    def first_period(self) -> str:
        """The first month whose usage counts, where not every month's does: that of the first payment; or ""."""
        first = min((top_up.on for top_up in self.top_ups), default=None)
        return "" if first is None else str(period_of(first, self.zone))

    def _limit(self, identifier: str, units: int) -> Limit:
        return Limit(identifier, self.budget.measure, "budget", units)


class Term(msgspec.Struct, frozen=True, gc=False):
    """A budget in [begins, ends): its counter. period: the month, or ""."""

    begins: Instant
    ends: Instant
    period: str
    limit: Limit


class Standing(msgspec.Struct, frozen=True):
    """What the books know of a budget in one term.

    spent: by the ledger's prices. held: {gateway instance: what its open requests hold}, those that are lost, too.
    counted: {living instance: what it counted in its own counters for requests that are over}.
    """

    owned: OwnedBudget
    limit: Limit
    period: str
    spent: int
    held: dict[str, int] = {}
    counted: dict[str, int] = {}

    @property
    def weight(self) -> "Weight":
        """What a gateway keeps of it."""
        return Weight(self.limit, self.spent, self.held or _NOTHING, self.counted or _NOTHING)

    @property
    def held_units(self) -> int:
        """What open requests hold."""
        return sum(self.held.values())

    @property
    def percent(self) -> int:
        """How much of it is spent, rounded down; all of a budget of nothing."""
        return self.spent * 100 // self.limit.units if self.limit.units else 100


class Standings(msgspec.Struct, frozen=True):
    """What the books know of all budgets at one place in the log: every record before it and none behind.

    instances: gateways that have begun and are not lost. at: when it was written, for people. through: everything that
    was in the log by this instant is included. is_whole: a budget that is missing here no longer exists; otherwise it
    is unchanged. A reader may get it in parts: before budgets were in earlier parts, left are still to come.
    """

    schema: int
    at: Instant
    segment: int
    offset: int
    instances: tuple[str, ...] = ()
    budgets: tuple[Standing, ...] = ()
    through: Instant = 0
    is_whole: bool = True
    before: int = 0
    left: int = 0


class Weight(NamedTuple):
    """What a gateway keeps of a standing."""

    limit: Limit
    spent: int
    held: Mapping[str, int]
    counted: Mapping[str, int]

    def base(self, instance: str) -> int:
        """What is used in addition to what this gateway's counters say; negative where they counted too much."""
        held = sum(units for name, units in self.held.items() if name != instance)
        return self.spent + held - self.counted.get(instance, 0)


class Weights(NamedTuple):
    """The weights of some budgets at a place in the log. living: gateways that have begun and are not lost."""

    living: frozenset[str]
    place: int
    rows: Sequence[Weight]


SCHEMA = 2
_SEGMENT = 10**12  # More bytes than a segment of the log has.
_NOTHING: Mapping[str, int] = {}

_encoder = msgspec.json.Encoder(order="deterministic")

encode_budget = _encoder.encode
decode_budget = msgspec.json.Decoder(Budget).decode


def place_of(standings: Standings) -> int:
    """The place in the log as one number, which grows."""
    return standings.segment * _SEGMENT + standings.offset


def periods_around(at: Instant, zone: str) -> tuple[Period, Period, Period]:
    """The month before the instant's, its own and the next one."""
    current = period_of(at, zone)
    earlier = Period(current.year - (current.month == 1), (current.month - 2) % 12 + 1)
    return earlier, current, current.next()


def forecast(standing: Standing, at: Instant) -> int | None:
    """What a month would come to if the rest of it went as its days so far, or None for what has no end."""
    if not standing.period:
        return None
    period, zone = parse_period(standing.period), standing.owned.zone
    begins, ends = period.start(zone), period.end(zone)
    if not begins < at < ends:
        return standing.spent
    return standing.spent * (ends - begins) // (at - begins)
