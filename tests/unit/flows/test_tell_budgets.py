"""Who is told of a budget: once for each threshold, again until it is received, whatever happens in between."""

import contextlib
from collections.abc import Sequence

import msgspec

from entrepot.core.budgets import Budget, OwnedBudget, Standing, Standings
from entrepot.core.notices import Notice
from entrepot.core.periods import DAY, SECOND, parse_instant
from entrepot.flows.tell_budgets import tell_budgets

NOW = parse_instant("2026-11-20T10:00:00Z")
BUDGET = Budget(200, "tokens", "monthly", "soft", (50, 100), "https://a.example/hook", ("one@a.example",))
OWNED = OwnedBudget("project", "search", "acme", BUDGET)


class Kept:
    """Notices that outlive what uses them."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def load(self) -> list[Notice]:
        return list(self.notices)

    def save(self, notices: Sequence[Notice]) -> None:
        self.notices = list(notices)


class Carrier:
    """Delivers, unless it is told not to."""

    def __init__(self) -> None:
        self.carried: list[Notice] = []
        self.fault = ""

    def carry(self, notice: Notice, at: int) -> str:
        self.carried.append(notice)
        return self.fault


def standings(spent: int, at: int = NOW) -> Standings:
    term = OWNED.term_at(at)
    return Standings(1, at, 0, 0, (), (Standing(OWNED, term.limit, term.period, spent),))


def tell(kept: Kept, carrier: Carrier, spent: int, at: int = NOW) -> int:
    return tell_budgets(standings(spent, at), kept, carrier, at, lambda _: None)


def test_each_threshold_is_told_once_to_each_recipient() -> None:
    kept, carrier = Kept(), Carrier()
    assert [tell(kept, carrier, spent) for spent in (99, 100, 150, 200, 250)] == [0, 2, 0, 2, 0]
    assert [(notice.channel, notice.to) for notice in carrier.carried[:2]] == [
        ("webhook", "https://a.example/hook"),
        ("email", "one@a.example"),
    ]
    said = msgspec.json.decode(carrier.carried[0].body)
    assert said["type"] == "budget.threshold_reached"
    assert (said["data"]["threshold"], said["data"]["budget"]["spent"]) == (50, "100")
    assert carrier.carried[1].subject == "50 % of the budget of project search for 2026-11 is spent"
    assert "Spent     100 tokens (50 %)" in carrier.carried[1].body
    assert len({notice.id for notice in carrier.carried}) == 4


def test_the_next_month_is_told_anew() -> None:
    kept, carrier = Kept(), Carrier()
    assert tell(kept, carrier, 100) == 2
    assert tell(kept, carrier, 100, NOW + 30 * DAY) == 2
    assert len({notice.id for notice in carrier.carried}) == 4


def test_what_is_not_received_is_told_again_with_growing_pauses_and_the_same_id() -> None:
    kept, carrier = Kept(), Carrier()
    carrier.fault = "nobody is there"
    at, pauses = NOW, []
    for _ in range(12):
        before = len(carrier.carried)
        tell(kept, carrier, 100, at)
        assert len(carrier.carried) == before + 2
        due = kept.notices[0].next_at
        assert tell(kept, carrier, 100, due - 1) == 0
        assert len(carrier.carried) == before + 2
        pauses.append((due - at) // SECOND)
        at = due
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == 3600
    carrier.fault = ""
    assert tell(kept, carrier, 100, at) == 2
    assert len({notice.id for notice in carrier.carried}) == 2
    assert tell(kept, carrier, 100, at + DAY) == 0


def test_it_is_kept_before_it_is_sent_and_sent_without_the_books() -> None:
    """Killed between keeping and sending, it is sent by the next process, even if nothing is published any more."""
    kept = Kept()

    class Killed(Carrier):
        def carry(self, notice: Notice, at: int) -> str:
            raise SystemExit

    with contextlib.suppress(SystemExit):
        tell(kept, Killed(), 100)
    carrier = Carrier()
    assert tell_budgets(None, kept, carrier, NOW, lambda _: None) == 2
