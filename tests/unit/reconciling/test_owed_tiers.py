"""What a partner charges is held against the prices of the tiers that it served at."""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.money import PICO, format_pico, parse_pico
from entrepot.core.partner_usage import COST, PartnerCharges, ReportedRow, Tolerance
from entrepot.core.periods import DAY, HOUR, parse_instant
from entrepot.reconciling.compare import Comparison, Finding
from entrepot.reconciling.our_counts import OurCounts
from tests.support.billing import usage

MARCH = parse_instant("2024-03-01")
CHARGES = PartnerCharges(upstreams={"key": "east"}, items={"m, input": "m/input_tokens"}, tolerances=(Tolerance(COST),))
PRICES = {"default": 1_000_003, "flex": 500_001, "priority": 2_000_000}
Served = Sequence[tuple[str, int]]  # (tier owed for, units) of requests.


def findings(served: Served, cost: int, *, tells_usage: bool, lasted: int = HOUR) -> list[Finding]:
    """Of a day of such requests, for which the partner charges so many pico."""
    ours = OurCounts("end", [MARCH, MARCH + DAY], ["east"], 0, by_key=False)
    for number, (tier, units) in enumerate(served):
        event = usage(str(number), MARCH, finished_at=MARCH + lasted, upstream="east", meters={"input_tokens": units})
        ours.add_event(event, tier)
    told = {"usage": [tells_usage], "cost": [True]}
    comparison = Comparison(CHARGES, ["2024-03-01"], told, {}, lambda _model, _meter, tier, _day: PRICES.get(tier))  # type: ignore[arg-type]
    if tells_usage:
        counted = str(sum(units for _, units in served))
        comparison.add(ReportedRow(MARCH, "", "", "m, input", "", quantity=counted), 0, by_key=False)
    comparison.add(ReportedRow(MARCH, "", "", "m, input", "", cost=format_pico(cost), currency="USD"), 0, by_key=False)
    return comparison.findings(ours)


def cost_of(served: Served) -> int:
    return sum(units * PRICES[tier] for tier, units in served)


SERVED = st.lists(st.tuples(st.sampled_from(sorted(PRICES)), st.integers(1, 10**9)), min_size=1, max_size=6)


@given(SERVED, st.booleans())
def test_each_tier_at_its_price_agrees_to_the_last_pico(served: list[tuple[str, int]], tells_usage: bool) -> None:
    assert findings(served, cost_of(served), tells_usage=tells_usage) == []
    (found,) = findings(served, cost_of(served) + 1, tells_usage=tells_usage)
    assert (found.kind, parse_pico(found.difference)) == ("price", 1)


def test_what_was_asked_at_flex_and_served_at_the_default_tier_is_owed_at_that() -> None:
    served = [("flex", 1000), ("default", 200)]
    for tells_usage in (True, False):
        (found,) = findings(served, 1200 * PRICES["flex"], tells_usage=tells_usage)
        assert parse_pico(found.difference) == 200 * (PRICES["flex"] - PRICES["default"])


def test_a_tier_without_a_price_is_not_compared() -> None:
    assert findings([("default", 10), ("scale", 10)], 5 * PICO, tells_usage=True) == []


def test_units_that_nobody_here_counted_are_at_the_default_price() -> None:
    """Seven of ours, ten of theirs at the average of the tiers we counted; without any, at the default tier's."""
    ours = OurCounts("end", [MARCH, MARCH + DAY], ["east"], 0, by_key=False)
    told = {"usage": [True], "cost": [False]}
    for counted, worth in (({}, 10 * PRICES["default"]), ({"flex": 4, "priority": 3}, None)):
        for number, (tier, units) in enumerate(counted.items()):
            event = usage(str(number), MARCH, upstream="east", meters={"input_tokens": units})
            ours.add_event(event, tier)
        comparison = Comparison(CHARGES, ["2024-03-01"], told, {}, lambda _model, _meter, tier, _day: PRICES.get(tier))  # type: ignore[arg-type]
        comparison.add(ReportedRow(MARCH, "", "", "m, input", "", quantity="10"), 0, by_key=False)
        (found,) = comparison.findings(ours)
        average = Fraction(4 * PRICES["flex"] + 3 * PRICES["priority"], 7)
        assert parse_pico(found.worth or "") == (round(3 * average) if worth is None else worth)
