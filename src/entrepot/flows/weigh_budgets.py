"""What the books know of every budget, as gateways start from it and people are told of it."""

from collections.abc import Iterator

from entrepot.core.budgets import SCHEMA, OwnedBudget, Standing, Standings, Term, periods_around
from entrepot.core.periods import MINUTE, Instant
from entrepot.core.world import WorldIndex, index_of
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock
from entrepot.ports.standings import PublishedStandings
from entrepot.provisioning.budgets import owned_budgets
from entrepot.rating.budgets import EVERYBODY, Owner, Spending
from entrepot.reporting.budgets import BudgetReport, budget_reports

WEIGH_ANYWAY_US = MINUTE  # Without anything new in the books: a month may have begun, or a payment counts from now on.


class Scales:
    """Publishes what the books know of budgets whenever it may have changed.

    Weighing takes at most a tenth of the caller's time, however many budgets there are.
    """

    def __init__(self, books: Books, standings: PublishedStandings, clock: Clock) -> None:
        self._books, self._standings, self._clock = books, standings, clock
        self._weighed = (-1, -1)
        self._weighed_at: Instant = 0
        self._took: Instant = 0

    def weigh(self, terms: WorldIndex | None, through: Instant) -> bool:
        """Weighs and publishes, if it is time; whether it was. terms, through: see weigh_budgets.

        Raises: OSError, see ports.standings.
        """
        now = self._clock.now()
        since = abs(now - self._weighed_at)
        position = self._books.position()
        is_new = (position.segment, position.offset) != self._weighed
        if since < 10 * self._took or not (is_new or since >= WEIGH_ANYWAY_US):
            return False
        try:
            standings = weigh_budgets(self._books, terms, now, through)
            self._standings.publish(standings)
            self._weighed = (standings.segment, standings.offset)
        finally:
            self._weighed_at = self._clock.now()
            self._took = abs(self._weighed_at - now)
        return True


def weigh_budgets(books: Books, terms: WorldIndex | None, at: Instant, through: Instant = 0) -> Standings:
    """What is spent and held of each budget, at the place in the log that the books are at.

    terms: the world with what earlier worlds declared. at: which month it is. through: see Standings. Of monthly
    budgets there is the month before, whose last requests may still come, and the next one, so that it begins with
    what is known of it.
    """
    with books.snapshot():
        position, declared = books.position(), books.world()
        found: list[Standing] = []
        if declared is not None and terms is not None:
            weigh = _Balance(books, terms, at)
            for owned in owned_budgets(declared[1], books.keys()):
                found.extend(weigh.standings(owned))
        return Standings(SCHEMA, at, position.segment, position.offset, tuple(books.instances()), tuple(found), through)


def show_budgets(books: Books, at: Instant, customer: str | None = None) -> list[BudgetReport]:
    """Budgets in the terms that are running, of all customers or of one, those first of which most is spent."""
    with books.snapshot():
        standings = weigh_budgets(books, index_of(books.worlds()), at)
    found = (item for item in budget_reports(standings, at) if customer in (None, item.customer))
    return sorted(found, key=lambda item: (-item.percent, item.id))


class _Balance:
    """Weighs budgets of one moment; what a customer used is read once."""

    def __init__(self, books: Books, terms: WorldIndex, at: Instant) -> None:
        self._books = books
        self._terms = terms
        self._at = at
        self._held = books.held()
        self._counted = books.counted()
        self._spending: dict[tuple[str, str, str], Spending] = {}

    def standings(self, owned: OwnedBudget) -> Iterator[Standing]:
        """The budget in each of its terms that matters now."""
        if owned.budget.kind == "monthly":
            for period in periods_around(self._at, owned.zone):
                yield self._standing(owned, owned.term_of(period), str(period), str(period))
        else:
            yield self._standing(owned, owned.term_at(self._at), owned.first_period, "9999-12")

    def _standing(self, owned: OwnedBudget, term: Term, since: str, until: str) -> Standing:
        key = (owned.customer, since, until)
        spending = self._spending.get(key)
        if spending is None:
            spending = self._spending[key] = Spending(self._terms, self._books.uses(*key))
        owners = _owners(owned)
        in_money = owned.budget.measure == "money"
        counter = term.limit.id
        return Standing(
            owned=owned,
            limit=term.limit,
            period=term.period,
            spent=spending.pico(owners) if in_money else spending.tokens(owners),
            held=self._held.get(counter, {}),
            counted=self._counted.get(counter, {}),
        )


def _owners(owned: OwnedBudget) -> tuple[Owner, ...]:
    """Whose usage counts in the budget."""
    if owned.scope == "customer":
        return (EVERYBODY,)
    return tuple((owned.scope, name) for name in owned.keys or (owned.owner,))
