"""Bytes in order, some of which must wait."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from entrepot.relay.gate import Gate


@given(st.lists(st.booleans(), max_size=12), st.randoms())
def test_order_is_kept_and_nothing_held_leaves_before_its_time(holds: list[bool], chance: object) -> None:
    written: list[bytes] = []
    gate = Gate(written.append)
    waiting: list[tuple[int, Callable[[], None]]] = []
    for number, holds_this in enumerate(holds):
        if holds_this:
            waiting.append((number, gate.hold(b"%d" % number)))
        else:
            gate.send(b"%d" % number)
    first = waiting[0][0] if waiting else len(holds)
    assert written == [b"%d" % number for number in range(first)]
    chance.shuffle(waiting)  # type: ignore[attr-defined]
    held = {number for number, _ in waiting}
    for number, let_go in waiting:
        let_go()
        held.discard(number)
        reached = min(held, default=len(holds))
        assert written == [b"%d" % item for item in range(reached)]
    assert gate.size == 0


def test_what_waits_can_be_dropped() -> None:
    written: list[bytes] = []
    gate = Gate(written.append)
    let_go = gate.hold(b"abc")
    gate.send(b"de")
    assert gate.size == 5
    gate.drop()
    let_go()
    assert (written, gate.size) == ([], 0)
