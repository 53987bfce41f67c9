"""Past traffic against provisioned units: how busy they would have been, what they would have refused, what it costs.

The traffic goes through the same bucket that the gateway admits by (core.capacity), in the order it was admitted in.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from heapq import heappop, heappush

import msgspec

from entrepot.core.capacity import Counter
from entrepot.core.periods import HOUR, MINUTE, Instant
from entrepot.core.prices import PriceTable
from entrepot.core.provisioned import SizingRule, load_of, throughput_limit, units_for
from entrepot.core.tokens import TOKEN_METERS, UNIT_HOURS
from entrepot.core.usage_event import UsageEvent
from entrepot.reporting.figures import money_text, percent_text

BUSY_MINUTE = Fraction(95, 100)  # Of three sizes that are tried, one is for this share of the minutes.


class Costs(msgspec.Struct, frozen=True):
    """What the traffic costs with so many units, in decimal text.

    units: the units themselves; spilled: by the token, of what they refuse; by_token: all of it, without any units.
    break_even_percent: how busy units must be to cost no more than the same traffic by the token.
    """

    currency: str
    units: str
    spilled: str
    total: str
    by_token: str
    break_even_percent: str


class Fit(msgspec.Struct, frozen=True):
    """How traffic goes with so many units. utilization: of the whole time, and of the busiest minute.

    refused: requests that find them too busy, to be spilled to a standard deployment if there is one.
    """

    units: int
    utilization_percent: str
    busiest_minute_percent: str
    requests: int
    refused: int
    refused_percent: str
    refused_tokens: int
    costs: Costs | None = None


class PastTraffic:
    """Requests of one model in the order of their admission. used: by all of them, by meter."""

    def __init__(self, events: Iterable[UsageEvent], rule: SizingRule) -> None:
        """events: in any order. rule: by which they are measured."""
        self.events = sorted(events, key=lambda event: (event.admitted_at, event.id))
        self.rule = rule
        self.loads = [load_of(rule.output_weight, event.meters) for event in self.events]
        self.used: Tally[str] = Tally()
        minutes: Tally[Instant] = Tally()
        for event, load in zip(self.events, self.loads, strict=True):
            minutes[event.admitted_at // MINUTE] += load
            self.used.update(event.meters)
        self._busy = sorted(minutes.values())
        first, last = (self.events[0].admitted_at, self.events[-1].admitted_at) if self.events else (0, 0)
        self.minutes = last // MINUTE - first // MINUTE + 1

    def sizes(self) -> list[int]:
        """Three sizes to try: for the load as if it were even, for nineteen minutes of twenty, for the busiest."""
        quiet = self.minutes - len(self._busy)
        at = int(BUSY_MINUTE * (self.minutes - 1)) - quiet
        loads = (-(-sum(self._busy) // self.minutes), self._busy[at] if at >= 0 else 0, self._busy[-1])
        return sorted({units_for(self.rule, load) for load in loads})


def fit(traffic: PastTraffic, units: int, prices: PriceTable | None, currency: str, output_bound: int = 0) -> Fit:
    """How the traffic goes with so many units.

    prices: of its model; None to leave the costs out. output_bound: the output tokens that are held for a request until
    it is over, as by its max_tokens; with 0 it is known beforehand what it will use.
    """
    limit = throughput_limit("", traffic.rule, units)
    counter = Counter()
    endings: list[tuple[Instant, int, int, Instant]] = []
    refused: Tally[str] = Tally()
    served_minutes: Tally[Instant] = Tally()
    refusals = 0
    for event, load in zip(traffic.events, traffic.loads, strict=True):
        at = event.admitted_at
        while endings and endings[0][0] <= at:
            ended_at, held, used, taken_at = heappop(endings)
            counter.give(limit, held - used, taken_at, ended_at)
        if not counter.fits(limit, load, at):
            refusals += 1
            refused.update(event.meters)
            continue
        served_minutes[at // MINUTE] += load
        held = max(load, load_of(traffic.rule.output_weight, {**event.meters, "output_tokens": output_bound}))
        taken_at = counter.take(limit, held, at)
        if held > load:
            heappush(endings, (event.finished_at, held, load, taken_at))
    served = sum(served_minutes.values())
    requests = len(traffic.events)
    return Fit(
        units=units,
        utilization_percent=percent_text(Fraction(served, limit.drain * traffic.minutes)),
        busiest_minute_percent=percent_text(Fraction(max(served_minutes.values(), default=0), limit.drain)),
        requests=requests,
        refused=refusals,
        refused_percent=percent_text(Fraction(refusals, max(1, requests))),
        refused_tokens=sum(count for meter, count in refused.items() if meter in TOKEN_METERS),
        costs=_costs(traffic, units, served, refused, prices, currency) if prices is not None else None,
    )


def _costs(
    traffic: PastTraffic, units: int, served: int, refused: Mapping[str, int], prices: PriceTable, currency: str
) -> Costs | None:
    """None where the model has no price by the token, or none for units."""
    model = traffic.events[0].model
    whole, spilled = _by_token(prices, model, traffic.used), _by_token(prices, model, refused)
    unit_hour = prices.price(model, UNIT_HOURS, "default")
    if whole is None or spilled is None or unit_hour is None:
        return None
    of_units = Fraction(units * traffic.minutes * MINUTE, HOUR) * unit_hour.unit_pico
    of_served = whole - spilled
    capacity = units * traffic.rule.input_tokens_per_minute * traffic.minutes
    return Costs(
        currency=currency,
        units=money_text(of_units, currency),
        spilled=money_text(spilled, currency),
        total=money_text(of_units + spilled, currency),
        by_token=money_text(whole, currency),
        break_even_percent=percent_text(of_units * served / (of_served * capacity)) if of_served else "",
    )


def _by_token(prices: PriceTable, model: str, used: Mapping[str, int]) -> int | None:
    """What meters cost at standard prices, in pico; None where one has no price."""
    total = 0
    for meter, quantity in used.items():
        price = prices.price(model, meter, "default")
        if price is None:
            return None
        total += price.cost_pico(quantity)
    return total


def sized(
    rule: SizingRule, *, requests: int, input_tokens: int, output_tokens: int, cached: Fraction
) -> tuple[int, int]:
    """(load, units) of so many requests a minute of that size. cached: the share of input that comes from the cache."""
    load = Fraction(requests) * (input_tokens * (1 - cached) + rule.output_weight * output_tokens)
    whole = -(-load.numerator // load.denominator)
    return whole, units_for(rule, whole)


def fit_rows(fits: Sequence[Fit]) -> list[list[str]]:
    """A row for each, as the columns of FIT_COLUMNS."""
    return [
        [
            f"{item.units:,}",
            f"{item.utilization_percent} %",
            f"{item.busiest_minute_percent} %",
            f"{item.refused:,} ({item.refused_percent} %)",
            f"{item.refused_tokens:,}",
            *((item.costs.units, item.costs.spilled, item.costs.total) if item.costs else ("", "", "")),
            f"{item.costs.break_even_percent} %" if item.costs and item.costs.break_even_percent else "",
        ]
        for item in fits
    ]


FIT_COLUMNS = ["units", "busy", "busiest minute", "refused", "tokens", "units cost", "spilled cost", "total", "even at"]
