"""How fast use of priority may grow: exact bounds, steady use untouched, two gateways as one."""

from hypothesis import given
from hypothesis import strategies as st

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.admission.desk import Desk
from entrepot.admission.ramp import READ_US, Ramps
from entrepot.core.periods import MINUTE
from entrepot.core.service_tiers import QUARTER, QUARTER_MINUTES, PriorityRules, quarter_of, tokens_allowed, window_of

RULES = st.builds(PriorityRules, st.just(0), st.integers(0, 200), st.integers(0, 1000))
TOKENS = st.integers(0, 10**12)
INSTANTS = st.integers(0, 4 * 10**15)
NAME = "search/chat"


@given(RULES, TOKENS, INSTANTS)
def test_what_is_allowed_grows_minute_by_minute_to_the_whole_of_a_quarter(
    rules: PriorityRules, before: int, at: int
) -> None:
    begins = at - at % QUARTER
    allowed = [tokens_allowed(rules, before, begins + minute * MINUTE) for minute in range(QUARTER_MINUTES)]
    assert allowed == sorted(allowed)
    whole = max(15 * rules.tokens_per_minute_free, before * (100 + rules.growth_percent) // 100)
    assert allowed[-1] == whole
    assert all(got == whole * (minute + 1) // 15 for minute, got in enumerate(allowed))
    assert tokens_allowed(rules, before, begins + MINUTE - 1) == allowed[0]


@given(RULES, st.integers(0, 10**9), INSTANTS)
def test_steady_use_is_never_downgraded(rules: PriorityRules, per_minute: int, at: int) -> None:
    used_when_a_minute_ends = per_minute * (at % QUARTER // MINUTE + 1)
    assert used_when_a_minute_ends <= tokens_allowed(rules, 15 * per_minute, at)


@given(st.integers(0, 10**7))
def test_a_quarter_and_the_next_are_in_one_window_of_its_counter(quarter: int) -> None:
    window = window_of(quarter)
    first, last = quarter * QUARTER, (quarter + 2) * QUARTER - 1
    assert first // window == last // window
    assert window % QUARTER == 0


# (microseconds since the one before, tokens of its prompt, tokens of its answer, which gateway)
REQUESTS = st.lists(
    st.tuples(st.integers(READ_US, 5 * MINUTE), st.integers(1, 50), st.integers(0, 100), st.integers(0, 1)), max_size=80
)


def served(rules: PriorityRules, requests: list[tuple[int, int, int, int]], gateways: int) -> list[tuple[int, int]]:
    """(when, tokens) of what was served at priority, each request being over before the next one comes."""
    place, at, found = MemoryCounters(), 7 * QUARTER, []
    desks = [Desk(place.holder(f"gateway-{number}")) for number in range(gateways)]
    ramps = [Ramps(desk) for desk in desks]
    for pause, prompt, answer, which in requests:
        at += pause
        desk, ramp = desks[which % gateways], ramps[which % gateways]
        if ramp.has_room(NAME, rules, at):
            hold = desk.hold([ramp.need(NAME, prompt, at)], at)
            assert hold is not None
            hold.settle({"input_tokens": prompt, "output_tokens": answer}, "priority", at)
            found.append((at, prompt + answer))
        for other in desks:
            other.sweep(at)
    return found


@given(RULES, REQUESTS)
def test_no_quarter_has_more_than_the_growth_of_the_one_before_but_for_its_last_request(
    rules: PriorityRules, requests: list[tuple[int, int, int, int]]
) -> None:
    by_quarter: dict[int, list[tuple[int, int]]] = {}
    for at, tokens in served(rules, requests, 1):
        by_quarter.setdefault(quarter_of(at), []).append((at, tokens))
    for quarter, found in by_quarter.items():
        before = sum(tokens for _, tokens in by_quarter.get(quarter - 1, []))
        so_far = 0
        for at, tokens in found:
            assert so_far < tokens_allowed(rules, before, at)
            so_far += tokens


@given(RULES, REQUESTS)
def test_two_gateways_that_hear_of_each_other_decide_as_one_would(
    rules: PriorityRules, requests: list[tuple[int, int, int, int]]
) -> None:
    assert served(rules, requests, 2) == served(rules, requests, 1)


def test_a_deployment_may_grow_by_half_each_quarter_and_one_that_doubles_is_partly_downgraded() -> None:
    """A request a minute, of as many tokens as the quarter's rate."""
    rules = PriorityRules(0, 50, 100)

    def at_priority(*rates: int) -> list[int]:
        pauses = [QUARTER, *[MINUTE] * (15 * len(rates) - 1)]
        requests = [(pause, rates[number // 15], 0, 0) for number, pause in enumerate(pauses)]
        quarters = [quarter_of(at) for at, _ in served(rules, requests, 1)]
        return [quarters.count(8 + number) for number in range(len(rates))]

    assert at_priority(100, 150, 225, 337) == [15, 15, 15, 15]
    assert at_priority(100, 200) == [15, 12]  # Of 3,000 tokens 2,250 are allowed, and 200 more at its end.
