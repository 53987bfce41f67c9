"""Work in small steps: what comes of it at once, and that letting go takes as many steps as there is to let go of."""

import gc
import weakref
from collections.abc import Collection, Generator

from entrepot.core.turns import at_once, letting_go


def test_all_steps_are_done_at_once() -> None:
    done = []

    def steps() -> Generator[None, None, int]:
        for number in range(3):
            done.append(number)
            yield
        return len(done)

    assert at_once(steps()) == 3
    assert done == [0, 1, 2]


class Thing:
    """Something that tells whether it is gone."""


def test_things_go_a_hundred_at_a_time_and_the_last_come_to_go_first() -> None:
    things = [Thing() for _ in range(250)]
    left = weakref.WeakSet(things)
    holding: list[Collection[object]] = [[*things]]
    things.clear()
    gc.disable()
    try:
        counts = [len(left) for _ in letting_go(holding)]
    finally:
        gc.enable()
    assert holding == []
    # Three steps to take them, and as many to let go: of the last fifty first.
    assert counts == [250, 250, 250, 250, 200, 100]
    assert len(left) == 0


def test_keys_and_values_of_mappings_go() -> None:
    things = [Thing() for _ in range(4)]
    left = weakref.WeakSet(things)
    holding: list[Collection[object]] = [dict(zip(things[:2], things[2:], strict=True))]
    things.clear()
    at_once(letting_go(holding))
    assert (holding, len(left)) == ([], 0)


def test_nothing_is_let_go_of_that_somebody_else_has() -> None:
    kept = Thing()
    left = weakref.WeakSet([kept])
    at_once(letting_go([[kept, Thing()], []]))
    assert list(left) == [kept]
