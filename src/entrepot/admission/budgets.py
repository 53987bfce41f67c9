"""Budgets that a request meets: its customer's, its project's, its key's; and what it may cost of each."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from entrepot.core.budgets import HELD_MAX, OwnedBudget, Term
from entrepot.core.capacity import Estimate, Limit, Used
from entrepot.core.costs import CostPart, Costs
from entrepot.core.errors import NoPrice
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.snapshot import ServedProject
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.usage_event import UsageEvent


class Priced(NamedTuple):
    """What is asked, as budgets look at it. at: of its admission. counts: (meter, units) beside its tokens."""

    project: str
    deployment: str
    model: str
    tier: str
    at: Instant
    estimate: Estimate
    counts: Sequence[tuple[str, int]]


class ServedBudget(NamedTuple):
    """A budget as one request meets it. at: of its admission. spent: as far as the books know. costs: where it is in
    money; parts: what the request was estimated at then.
    """

    limit: Limit
    owned: OwnedBudget
    ends: Instant
    at: Instant
    spent: int
    costs: Costs | None
    parts: Sequence[CostPart]

    @property
    def name(self) -> str:
        """What it is declared as."""
        kind = self.owned.budget.kind
        return "the prepaid balance" if kind == "prepaid" else f"the {kind} budget"

    @property
    def whose(self) -> str:
        """What it is declared for."""
        return f"{self.owned.scope} {self.owned.owner}"

    @property
    def resets_at(self) -> Instant | None:
        """When it begins anew, or grows; None for never."""
        return None if self.ends == END_OF_TIME else self.ends

    def used(self, used: Used) -> int:
        """The units of what was used."""
        if self.costs is None:
            return sum(quantity for meter, quantity in used.meters.items() if meter in TOKEN_METERS)
        return min(self.costs.cost(used.tier, self.at, used.meters), HELD_MAX)


_BEFORE_ANY = Term(0, 0, "", Limit("", "money", "budget", 0))


class Running(msgspec.Struct, gc=False):
    """A budget with the term that was asked for last."""

    owned: OwnedBudget
    last: Term = _BEFORE_ANY

    def term_at(self, at: Instant) -> Term:
        """Its term at an instant."""
        if not self.last.begins <= at < self.last.ends:
            self.last = self.owned.term_at(at)
        return self.last


class Budgets:
    """The budgets of a snapshot that nothing is served beyond.

    They are kept so that Python's collector has nothing to look through, see core.snapshot.
    """

    __slots__ = ("_by_key", "_by_project", "_costs", "_projects", "_spent")

    def __init__(
        self, spent: Callable[[str], int], projects: Mapping[str, ServedProject] = MappingProxyType({})
    ) -> None:
        """spent: see Desk. projects: of the snapshot, by id."""
        self._spent = spent
        self._by_key: dict[str, tuple[Running, ...]] = {}
        self._by_project: dict[str, tuple[Running, ...]] = {}
        self._costs: dict[tuple[str, str, str], Costs | None] = {}  # Made when they are first asked for.
        self._projects = projects

    def following(self, budgets: Sequence[OwnedBudget]) -> Generator[None, None, None]:
        """Takes the snapshot's budgets in, one with each step."""
        of_customer: dict[str, list[str]] = {}
        for project in self._projects.values() if budgets else ():
            yield
            of_customer.setdefault(project.customer, []).append(project.id)
        for owned in budgets:
            yield
            running = Running(owned)
            if owned.scope == "key":
                for name in owned.keys or (owned.owner,):
                    self._by_key[name] = (*self._by_key.get(name, ()), running)
                continue
            for name in [owned.owner] if owned.scope == "project" else of_customer.get(owned.owner, ()):
                self._by_project[name] = (*self._by_project.get(name, ()), running)

    @property
    def held(self) -> list[Collection[object]]:
        """What it is made of, and there may be many of."""
        return [self._by_key, self._by_project, self._costs]

    def met_by(self, project: str, key: str) -> Sequence[Running]:
        """The budgets that a request of a key of the project meets."""
        if not (self._by_project or self._by_key):
            return ()
        return [*self._by_key.get(key, ()), *self._by_project.get(project, ())]

    def cost_of(self, usage: UsageEvent) -> tuple[int, str] | None:
        """(pico, currency) of what was used, where that may be told; at most so much, see core.costs."""
        project = self._projects.get(usage.project)
        if project is None or not project.costs_in:
            return None
        costs = self._costs_of(usage.project, usage.deployment, usage.model)
        return None if costs is None else (costs.cost(usage.tier, usage.admitted_at, usage.meters), project.costs_in)

    def needs(self, met: Iterable[Running], asked: Priced) -> list[tuple[ServedBudget, int]]:
        """What a request needs of the budgets it meets. Raises: NoPrice."""
        costs = self._costs_of(asked.project, asked.deployment, asked.model)
        estimate = asked.estimate
        tokens = estimate.prompt_tokens_max + estimate.output_tokens_max
        parts: Sequence[CostPart] | None = None
        needs = []
        for running in met:
            term = running.term_at(asked.at)
            spent = self._spent(term.limit.id)
            served = ServedBudget(term.limit, running.owned, term.ends, asked.at, spent, None, ())
            units = tokens
            if term.limit.measure == "money":
                if parts is None:
                    parts = _parts(costs, asked)
                if costs is None or parts is None:
                    raise NoPrice(
                        f"The deployment {asked.deployment!r} has no price at the tier {asked.tier!r} now, so nothing "
                        f"can be held of {served.name} of {served.whose}; its operator has to declare one."
                    )
                units = sum(part.pico for part in parts)
                served = served._replace(costs=costs, parts=parts)
            needs.append((served, min(units, HELD_MAX)))
        return needs

    def _costs_of(self, project: str, name: str, model: str) -> Costs | None:
        """What requests of a deployment cost while it is of the model; None where that has no prices here."""
        like = project, name, model
        if like not in self._costs:
            served = self._projects.get(project)
            found = None if served is None else served.version(name, model)
            by_units = found is not None and found.usable is not None
            self._costs[like] = Costs(model, found.prices, by_units=by_units) if found and found.prices else None
        return self._costs[like]


def _parts(costs: Costs | None, asked: Priced) -> list[CostPart] | None:
    if costs is None:
        return None
    estimate = asked.estimate
    prompt, output = estimate.prompt_tokens_max, estimate.output_tokens_max
    return costs.most(asked.tier, asked.at, prompt, output, asked.counts)
