"""What a gateway has drawn, where the clock of who counts was hours ahead of it and is set right."""

import pytest

from entrepot.admission.allotments import Allotment, Allotments
from entrepot.core import counter_language as language
from entrepot.core.capacity import Limit
from entrepot.core.counter_language import Words
from entrepot.core.drawing import Answered, Drawing, Outcome
from entrepot.core.draws import Draw, Shortage
from entrepot.core.periods import HOUR, MINUTE, SECOND, Instant
from entrepot.core.shared_counters import SharedCounters

AT = 28_333_333 * MINUTE
TOKENS = Limit("tokens", "tokens", "window", 1000, MINUTE)
BUDGET = Limit("budget", "tokens", "budget", 1000)


class Keeper:
    """The counters of several machines, by a clock of their own."""

    def __init__(self) -> None:
        self.now: Instant = AT
        self._counters = SharedCounters("one")

    def answer(self, words: Words, done: Answered) -> None:
        done(language.answer(self._counters, words, self.now))


def take(drawing: Drawing, allotment: Allotment, need: int) -> None:
    """As the desk does for a request: from what is there, else from the keeper."""

    def granted(outcome: Outcome) -> None:
        assert outcome is not None
        assert not isinstance(outcome, Shortage)
        allotment.granted(outcome[0], need)

    if allotment.take(need) < need:
        drawing.draw([Draw(allotment.limit, need, allotment.wish(need))], allotment.at, granted)


@pytest.mark.parametrize("back", [6 * SECOND + MINUTE, 3 * HOUR])
def test_units_of_a_window_are_had_again_at_once(back: Instant) -> None:
    keeper = Keeper()
    drawing = Drawing("here", keeper.answer)
    drawing.connected()
    allotment = Allotments(drawing).of(TOKENS, AT)
    keeper.now = AT + back
    take(drawing, allotment, 100)
    assert allotment.free > 0
    allotment.take(allotment.free)
    keeper.now = AT
    take(drawing, allotment, 100)
    assert (allotment.at, allotment.ends) == (AT, AT + MINUTE)
    assert 0 < allotment.free <= allotment.left
    allotment.put_back(100, AT)  # They can be given back as well.
    allotment.sweep(AT + SECOND)
    allotment.sweep(AT + 2 * SECOND)
    keeper.now = AT + 2 * SECOND
    told: list[Outcome] = []
    drawing.draw([Draw(TOKENS, 1000)], keeper.now, told.append)
    assert told[0] is not None
    assert not isinstance(told[0], Shortage)


def test_of_a_budget_nothing_is_let_go() -> None:
    keeper = Keeper()
    drawing = Drawing("here", keeper.answer)
    drawing.connected()
    allotment = Allotments(drawing).of(BUDGET, AT)
    keeper.now = AT + 3 * HOUR
    take(drawing, allotment, 100)
    had = allotment.free
    allotment.take(had)
    keeper.now = AT
    take(drawing, allotment, 100)
    allotment.put_back(had, AT)
    assert allotment.free + 100 + 100 + allotment.left == 1000
