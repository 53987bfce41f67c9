"""Counters of limits: never negative, never more generous to who settles late, exact."""

from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.capacity import Counter, Limit
from entrepot.core.periods import MINUTE, SECOND

WINDOW = Limit("tokens", "tokens", "window", 1000, window=MINUTE)
BUCKET = Limit("load", "load", "bucket", 500, drain=6000)
BUDGET = Limit("money", "money", "budget", 1000)
LIMITS = st.sampled_from([WINDOW, BUCKET, BUDGET])
UNITS = st.integers(0, 400)
STEPS = st.lists(st.tuples(st.integers(-SECOND, 20 * SECOND), UNITS, UNITS), max_size=30)


@given(LIMITS, STEPS)
def test_what_is_used_is_never_negative_whatever_the_clock_does(
    limit: Limit, steps: list[tuple[int, int, int]]
) -> None:
    counter, at, before = Counter(), MINUTE, MINUTE
    for step, taken, given_back in steps:
        at += step
        taken_at = counter.take(limit, taken, at)
        counter.give(limit, given_back, min(before, taken_at), at)
        before = taken_at
        assert counter.used(limit, at) >= 0


@given(LIMITS, STEPS)
def test_a_clock_that_goes_backwards_changes_nothing(limit: Limit, steps: list[tuple[int, int, int]]) -> None:
    steady, jumping, at = Counter(), Counter(), MINUTE
    jumping.take(limit, 0, at)
    for step, taken, _ in steps:
        told = max(at, at + step)
        steady.take(limit, taken, told)
        jumping.take(limit, taken, at + step)
        at = told
        assert steady.used(limit, at) == jumping.used(limit, at)


@given(LIMITS, UNITS, UNITS, st.integers(0, 3 * MINUTE), STEPS)
def test_settling_late_is_never_more_generous_than_settling_at_once(
    limit: Limit, estimate: int, actual: int, late: int, others: list[tuple[int, int, int]]
) -> None:
    at = MINUTE
    at_once, later = Counter(), Counter()
    for counter in (at_once, later):
        counter.take(limit, estimate, at)
    at_once.give(limit, max(0, estimate - actual), at, at)
    end = at + late
    now = at
    for step, taken, _ in others:
        now = min(end, now + max(0, step))
        at_once.take(limit, taken, now)
        later.take(limit, taken, now)
    later.give(limit, max(0, estimate - actual), at, end)
    assert later.used(limit, end) >= at_once.used(limit, end)


HOLDS = st.lists(st.tuples(st.integers(0, 5 * SECOND), UNITS, UNITS, st.integers(0, 30 * SECOND)), max_size=12)


@given(LIMITS, HOLDS)
def test_many_that_settle_late_are_never_treated_more_generously_together(
    limit: Limit, holds: list[tuple[int, int, int, int]]
) -> None:
    at_once, later, at = Counter(), Counter(), MINUTE
    open_holds: list[tuple[int, int, int]] = []
    for step, estimate, actual, late in holds:
        at += step
        for ends, unused, taken_at in sorted(item for item in open_holds if item[0] <= at):
            later.give(limit, unused, taken_at, ends)
        open_holds = [item for item in open_holds if item[0] > at]
        unused = max(0, estimate - actual)
        at_once.give(limit, unused, at_once.take(limit, estimate, at), at)
        open_holds.append((at + late, unused, later.take(limit, estimate, at)))
        assert later.used(limit, at) >= at_once.used(limit, at)


def test_a_bucket_that_never_ran_low_takes_back_all_of_a_late_settlement() -> None:
    counter = Counter()
    counter.take(BUCKET, 10_000, 0)
    taken_at = counter.take(BUCKET, 400, 0)
    counter.give(BUCKET, 380, taken_at, 30 * SECOND)
    assert counter.used(BUCKET, 30 * SECOND) == 10_400 - 3_000 - 380


@given(LIMITS, st.lists(UNITS, min_size=1, max_size=8), st.integers(0, 2 * MINUTE))
def test_splitting_a_hold_changes_nothing(limit: Limit, parts: list[int], later: int) -> None:
    whole, split = Counter(), Counter()
    whole.take(limit, sum(parts), MINUTE)
    for part in parts:
        split.take(limit, part, MINUTE)
    at = MINUTE + later
    assert whole.used(limit, at) == split.used(limit, at)
    assert [whole.wait(limit, units, at) for units in (1, 500, 1001)] == [
        split.wait(limit, units, at) for units in (1, 500, 1001)
    ]


@given(st.sampled_from([WINDOW, BUCKET, BUDGET]), st.lists(UNITS, max_size=8), UNITS)
def test_what_does_not_fit_fits_when_it_is_said_to_and_not_before(limit: Limit, taken: list[int], asked: int) -> None:
    counter = Counter()
    for units in taken:
        counter.take(limit, units, MINUTE)
    wait = counter.wait(limit, asked, MINUTE)
    assert (wait == 0) == counter.fits(limit, asked, MINUTE)
    if wait:
        assert not counter.fits(limit, asked, MINUTE + wait - 1)
        assert counter.fits(limit, asked, MINUTE + wait)


def test_a_bucket_takes_a_request_of_any_size_while_it_is_no_more_than_full() -> None:
    counter = Counter()
    assert counter.fits(BUCKET, 10_000, 0)
    counter.take(BUCKET, 10_000, 0)
    assert counter.wait(BUCKET, 1, 0) == 95 * SECOND  # 9,500 units above full, at 100 a second.


def test_what_is_more_than_a_limit_never_fits() -> None:
    assert Counter().wait(WINDOW, 1001, 0) is None
    assert Counter().wait(BUDGET, 1001, 0) is None
