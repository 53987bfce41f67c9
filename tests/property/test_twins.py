"""Small classes of the request path that have a twin in C: both do the same."""

import time
from bisect import bisect_left
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.twins import kind, twins

CLOCKS = twins("entrepot.adapters.clocks")
COUNTING = twins("entrepot.core.counting")
KEPT_MEMORY = twins("entrepot.core.kept_memory")
STEPS = st.lists(st.one_of(st.binary(max_size=20), st.just(None)), max_size=60)


@pytest.mark.parametrize("kept_memory", KEPT_MEMORY, ids=kind)
@given(steps=STEPS, size=st.integers(8, 100))
def test_what_is_kept(kept_memory: Any, steps: list[bytes | None], size: int) -> None:
    """Memory reads the same at any time, and both twins refuse the same frames."""
    memory, other = bytearray(size), bytearray(size)
    kept, twin = kept_memory.Kept(memory), KEPT_MEMORY[0].Kept(other)
    frames: deque[bytes] = deque()
    for step in steps:
        if step is None:
            gone = len(frames.popleft()) if frames else 0
            kept.drop(gone)
            twin.drop(gone)
        elif kept.add(step):
            frames.append(step)
            assert twin.add(step)
        else:
            assert not twin.add(step)
        assert memory == other
        bounds = int.from_bytes(memory[:8], "little")
        assert memory[bounds >> 32 : bounds & 0xFFFFFFFF] == b"".join(frames)
    with pytest.raises(ValueError, match="not as much"):
        kept.drop(sum(map(len, frames)) + 1)
    with pytest.raises(ValueError, match="no room"):
        kept_memory.Kept(bytearray(7))


@given(
    values=st.lists(st.one_of(st.integers(-2, 1000), st.integers(0, 2**70))),
    first=st.integers(1, 10),
    doublings=st.integers(1, 3),
    units=st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-5, 2**70))),
)
def test_counting(values: list[int], first: int, doublings: int, units: list[dict[str, int]]) -> None:
    bounds = tuple(first << doublings * n for n in range(6))
    shown = [min(max(value, 0), 2**44) for value in values]
    expected = [0] * 7 + [sum(shown)]
    for value in shown:
        expected[bisect_left(bounds, value)] += 1
    for counting in COUNTING:
        histogram, totals = counting.Histogram(first, doublings, 6), counting.Totals()
        for value in values:
            histogram.count(value)
        assert histogram.numbers() == expected
        for each in units:
            totals.add(each)
            totals.count("each")
        names = set[str]().union(*units)
        summed = {name: sum(min(max(each.get(name, 0), 0), 2**44) for each in units) for name in names}
        assert totals.numbers() == (summed | {"each": len(units)} if units else {})


def test_nothing_but_numbers_is_counted() -> None:
    for counting in COUNTING:
        with pytest.raises(TypeError):
            counting.Histogram(1, 1, 4).count("1")
        with pytest.raises(TypeError):
            counting.Totals().add({"a": None})


@pytest.mark.parametrize("clocks", CLOCKS, ids=kind)
def test_the_clock(clocks: Any) -> None:
    before = time.time_ns() // 1000
    assert before <= clocks.SystemClock().now() <= time.time_ns() // 1000
