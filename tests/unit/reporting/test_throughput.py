"""Past traffic against provisioned units: nothing is refused below what they do, only the excess above it."""

from fractions import Fraction
from itertools import count
from random import Random

import pytest

from entrepot.core.periods import MINUTE, parse_instant
from entrepot.core.prices import Price, PriceBookVersion, PriceTable
from entrepot.core.provisioned import SizingRule, load_of, units_for
from entrepot.core.usage_event import UsageEvent
from entrepot.reporting.throughput import PastTraffic, fit, sized

START = parse_instant("2026-03-02")
GPT_5_2 = SizingRule(minimum=15, step=5, input_tokens_per_minute=3400, output_weight=8)
REGIONAL = SizingRule(minimum=50, step=50, input_tokens_per_minute=3400, output_weight=8)
PRICES = PriceTable(
    PriceBookVersion(
        "list@2026-01-01",
        "list",
        0,
        (
            Price("gpt-5.2", "input_tokens", "default", 1_750_000),
            Price("gpt-5.2", "output_tokens", "default", 14_000_000),
            Price("gpt-5.2", "provisioned_unit_hours", "default", 10**12),
        ),
    )
)


def traffic(load_per_minute: int, minutes: int, seed: int = 7) -> list[UsageEvent]:
    """Requests of 200 and 20 tokens as a Poisson stream of that load."""
    chance = Random(seed)
    each = load_of(8, {"input_tokens": 200, "output_tokens": 20})
    at, events = float(START), list[UsageEvent]()
    for number in count():
        at += chance.expovariate(load_per_minute / each / MINUTE)
        if at >= START + minutes * MINUTE:
            return events
        begins = int(at)
        meters = {"input_tokens": 200, "output_tokens": 20}
        events.append(UsageEvent(f"e{number}", begins, begins + 2_000_000, "c", "p", "d", "gpt-5.2", "default", meters))
    raise AssertionError


@pytest.mark.parametrize(
    ("rule", "tokens", "cached", "units"),
    [(GPT_5_2, (200, 20), "0", 110), (GPT_5_2, (200, 20), "0.5", 80), (REGIONAL, (100, 50), "0", 150)],
)
def test_units_are_those_of_the_published_examples(
    rule: SizingRule, tokens: tuple[int, int], cached: str, units: int
) -> None:
    _, found = sized(rule, requests=1000, input_tokens=tokens[0], output_tokens=tokens[1], cached=Fraction(cached))
    assert found == units


def test_units_are_never_fewer_than_the_minimum_and_always_on_the_step() -> None:
    assert [units_for(GPT_5_2, load) for load in (0, 1, 51_000, 51_001, 68_001)] == [15, 15, 15, 20, 25]


def test_cached_input_takes_nothing_and_output_takes_its_weight() -> None:
    meters = {"input_tokens": 100, "cached_input_tokens": 900, "output_tokens": 10, "reasoning_tokens": 5}
    assert load_of(8, meters) == 100 + 8 * 15


@pytest.mark.parametrize("seed", range(5))
def test_at_95_percent_of_what_the_units_do_nothing_is_refused(seed: int) -> None:
    found = fit(PastTraffic(traffic(95 * 3400, 10, seed), GPT_5_2), 100, None, "")
    assert found.refused == 0
    assert 90 < float(found.utilization_percent) < 100


@pytest.mark.parametrize("seed", range(5))
def test_at_150_percent_only_the_excess_is_refused(seed: int) -> None:
    asked = traffic(150 * 3400, 10, seed)
    past = PastTraffic(asked, GPT_5_2)
    found = fit(past, 100, None, "")
    each = past.loads[0]
    offered, capacity, burst = len(asked) * each, 10 * 100 * 3400, 100 * 3400 * GPT_5_2.burst_s // 60
    served = (found.requests - found.refused) * each
    assert capacity * 99 // 100 <= served <= capacity + burst + each
    assert found.refused * each <= offered - capacity * 99 // 100
    assert found.refused_tokens == 220 * found.refused


def test_tokens_held_for_answers_that_could_be_longer_are_given_back_when_they_end() -> None:
    past = PastTraffic(traffic(50 * 3400, 10), GPT_5_2)
    assert fit(past, 100, None, "", output_bound=100).refused == 0
    assert fit(past, 100, None, "", output_bound=20_000).refused > 0


def test_costs_are_compared_with_the_same_traffic_by_the_token() -> None:
    past = PastTraffic(traffic(50 * 3400, 60), GPT_5_2)
    costs = fit(past, 100, PRICES, "USD").costs
    assert costs is not None
    tokens = len(past.events)
    by_token = Fraction(tokens * (200 * 175 + 20 * 1400), 10**8)
    assert abs(Fraction(costs.by_token) - by_token) <= Fraction(1, 200)
    assert (costs.units, costs.spilled, costs.total) == ("100.00", "0.00", "100.00")
    # A unit at a dollar an hour is 2.8 times what it does at the published token prices, when it is always busy.
    assert costs.break_even_percent == "280.11"


def test_sizes_to_try_are_for_the_mean_for_most_minutes_and_for_the_busiest() -> None:
    quiet, rush = traffic(10 * 3400, 60), traffic(200 * 3400, 1, seed=3)
    past = PastTraffic(quiet + rush, GPT_5_2)
    sizes = past.sizes()
    assert sizes[0] == 15
    assert sizes[-1] >= 200
    assert sizes == sorted(sizes)
