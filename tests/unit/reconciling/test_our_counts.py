"""Our counts by day are what adding up each request by itself gives, whichever of its instants counts."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.log_records import AttemptEnded
from entrepot.reconciling.our_counts import Cell, CountedAt, OurCounts
from entrepot.reconciling.steps import Midnight
from tests.support.billing import usage

BOUNDS = [100, 200, 300, 400]
SKEW = 5
DAYS = range(len(BOUNDS) - 1)
INPUT, OUTPUT = "input_tokens", "output_tokens"


class Request(NamedTuple):
    """A request or a lost attempt of an upstream."""

    began: int
    ended: int
    upstream: str
    tier: str
    units: int
    is_attempt: bool


COUNTED: dict[CountedAt, Callable[[Request], tuple[int, int]]] = {
    "end": lambda request: (request.ended, request.ended),
    "start": lambda request: (request.began, request.began),
    "either": lambda request: (request.began, request.ended),
}
REQUESTS = st.builds(
    lambda began, lasted, *rest: Request(began, began + lasted, *rest),
    st.one_of(st.integers(80, 420), st.builds(int.__add__, st.sampled_from(BOUNDS), st.integers(-SKEW - 1, SKEW + 1))),
    st.integers(0, 60),
    st.sampled_from(["east", "west", "elsewhere"]),
    st.sampled_from(["default", "flex"]),
    st.integers(0, 9),
    st.booleans(),
)


def counted(way: CountedAt, requests: Sequence[Request], *, by_key: bool, meter: str = INPUT) -> OurCounts:
    ours = OurCounts(way, BOUNDS, ["east", "west"], SKEW, by_key=by_key)
    for number, request in enumerate(requests):
        meters = {meter: request.units}
        if request.is_attempt:
            lost = AttemptEnded(str(number), 1, request.began, request.ended, request.upstream, "outrun", meters=meters)
            ours.add_attempt("m", request.tier, lost)
        else:
            event = usage(
                str(number), request.began, finished_at=request.ended, upstream=request.upstream, meters=meters
            )
            ours.add_event(event, request.tier)
    return ours


def crossing(of: Sequence[Request], bound: int, span: Callable[[Request], tuple[int, int]]) -> Midnight:
    """What of requests may count on the other side of a bound, by how far clocks may be off."""
    at, late, early = BOUNDS[bound], 0, 0
    for request in of:
        began, ended = span(request)
        is_before = (BOUNDS[bound - 1] if bound else 0) <= began < at
        is_behind = at <= began < (BOUNDS[bound + 1] if bound + 1 < len(BOUNDS) else 1000)
        late += request.units if is_before and ended + SKEW >= at else 0
        early += request.units if is_behind and began - SKEW < at else 0
    return Midnight(late, early)


@given(st.lists(REQUESTS, max_size=12), st.sampled_from(sorted(COUNTED)), st.booleans())
def test_every_request_is_counted_on_its_day_and_beside_its_midnights(
    requests: list[Request], way: CountedAt, by_key: bool
) -> None:
    ours, span = counted(way, requests, by_key=by_key), COUNTED[way]
    of_cell: dict[Cell, list[Request]] = defaultdict(list)
    for request in requests:
        if request.upstream != "elsewhere":
            of_cell[Cell("m", request.upstream if by_key else "", INPUT)].append(request)
    assert set(ours.units) <= set(of_cell)
    for cell, of in of_cell.items():
        within = [[item for item in of if BOUNDS[day] <= span(item)[0] < BOUNDS[day + 1]] for day in DAYS]
        assert ours.units.get(cell, [0] * len(DAYS)) == [sum(item.units for item in items) for items in within]
        assert ours.midnights(cell) == [crossing(of, bound, span) for bound in range(len(BOUNDS))]
        for day, items in enumerate(within):
            tiers = {tier: sum(item.units for item in items if item.tier == tier) for tier in ("default", "flex")}
            assert ours.tiers(cell, day) == {tier: units for tier, units in tiers.items() if units}
    assert not ours.waiting


@pytest.mark.parametrize("medium", ["", "audio_", "image_"])
def test_reasoning_is_compared_as_the_output_it_is_a_part_of(medium: str) -> None:
    request = Request(110, 120, "east", "default", 3, False)
    ours = counted("end", [request], by_key=False, meter=f"{medium}reasoning_tokens")
    assert ours.units == {Cell("m", "", f"{medium}{OUTPUT}"): [3, 0, 0]}


def test_what_waits_is_counted_and_told_beside_it() -> None:
    ours = OurCounts("end", BOUNDS, ["east"], SKEW, by_key=True)
    cell = Cell("m", "east", INPUT)
    for number, (at, waits) in enumerate([(110, True), (120, True), (130, False), (90, True)]):
        event = usage(str(number), at, finished_at=at, upstream="east", meters={INPUT: 4})
        ours.add_event(event, "default", waits=waits)
    assert (ours.units, ours.waiting) == ({cell: [12, 0, 0]}, {cell: 8})
