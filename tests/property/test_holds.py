"""Holds and allotments of several gateways at one place: never more than there is, and nothing is lost for ever."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.admission.desk import Desk, Short
from entrepot.admission.holds import Hold
from entrepot.admission.measures import MetLimit
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.estimate import Estimate
from entrepot.core.periods import MINUTE, SECOND

START = 100 * MINUTE
BUDGET = ServedLimit(Limit("budget", "tokens", "budget", 2_000), "budget", "acme")
WINDOW = ServedLimit(Limit("window", "tokens", "window", 1_000, MINUTE), "tokens_per_minute", "chat")
REQUESTS = ServedLimit(Limit("requests", "requests", "window", 20, 10 * SECOND), "requests_per_minute", "chat")
LIMITS = st.sampled_from([(BUDGET,), (WINDOW,), (REQUESTS,), (BUDGET, WINDOW, REQUESTS)])
# (gateway, what: ask or end a hold in some way or sweep, units, which hold, microseconds until then)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["ask", "ask", "ask", "settle", "release", "keep", "sweep"]),
        st.integers(1, 400),
        st.integers(0, 1_000),
        st.integers(0, 5 * SECOND),
    ),
    max_size=80,
)


class Model:
    """What must be true, kept beside what is: units held or used of each limit since it began anew."""

    def __init__(self, limits: tuple[ServedLimit, ...]) -> None:
        self.limits = limits
        self.place = MemoryCounters()
        self.desks = [Desk(self.place.holder(str(number))) for number in range(3)]
        self.met = [tuple(MetLimit(served) for served in limits) for _ in self.desks]
        self.open: list[tuple[int, Hold, int, int]] = []
        self.at = START
        self.admitted = {served.limit.id: [0, 0] for served in limits}  # Window, units admitted in it and not freed.

    def ask(self, number: int, units: int) -> None:
        desk = self.desks[number]
        needs = desk.needs(self.met[number], Estimate(units, 0, units, 0), "default", self.at)
        got: list[Any] = []
        hold = desk.hold(needs, self.at)
        if hold is None:
            desk.draw(needs, self.at, got.append)
            [answer] = got
            if isinstance(answer, Short):
                return
            hold = answer
        self.open.append((number, hold, units, self.at))
        self.count(units, self.at)
        for served in self.limits:
            assert self.admitted[served.limit.id][1] <= served.limit.units

    def count(self, units: int, at: int) -> None:
        """Takes note of units taken, or freed where negative, that were taken then."""
        for served in self.limits:
            limit, kept = served.limit, self.admitted[served.limit.id]
            window, since = (self.at // limit.window, at // limit.window) if limit.window else (0, 0)
            if kept[0] != window:
                kept[:] = [window, 0]
            if since == window:
                kept[1] += units if limit.measure == "tokens" else (units > 0) - (units < 0)

    def end(self, how: str, units: int, which: int) -> None:
        if not self.open:
            return
        _, hold, held, at = self.open.pop(which % len(self.open))
        if how == "settle":
            used = min(units, held)
            hold.settle({"input_tokens": used}, "default", self.at)
            for served in self.limits:
                if served.limit.measure == "tokens":
                    limit, kept = served.limit, self.admitted[served.limit.id]
                    if not limit.window or at // limit.window == kept[0] == self.at // limit.window:
                        kept[1] -= held - used
        elif how == "release":
            hold.release(self.at)
            self.count(-held, at)
        else:
            hold.keep(self.at)


@given(LIMITS, STEPS)
def test_never_more_is_admitted_than_there_is_and_what_is_not_used_comes_back(
    limits: tuple[ServedLimit, ...], steps: list[tuple[int, str, int, int, int]]
) -> None:
    model = Model(limits)
    for number, what, units, which, later in steps:
        model.at += later
        if what == "ask":
            model.ask(number, units)
        elif what == "sweep":
            model.desks[number].sweep(model.at)
        else:
            model.end(what, units, which)
    while model.open:
        model.end("release", 0, 0)
    for _ in range(2):
        for desk in model.desks:
            desk.sweep(model.at)
    for served in limits:
        kept = model.place._kept.get(served.limit.id)
        if kept is not None:
            window, admitted = model.admitted[served.limit.id]
            is_now = not served.limit.window or window == model.at // served.limit.window
            assert kept.counter.used(served.limit, model.at) == (admitted if is_now else 0)


def test_a_hold_ends_once() -> None:
    desk = Desk(MemoryCounters().holder("a"))
    got: list[Any] = []
    desk.draw(desk.needs((MetLimit(BUDGET),), Estimate(5, 5, 5, 5), "default", START), START, got.append)
    [hold] = got
    hold.keep(START)
    for again in (hold.keep, hold.release, lambda at: hold.settle({}, "default", at)):
        with pytest.raises(AssertionError, match="ends once"):
            again(START)
