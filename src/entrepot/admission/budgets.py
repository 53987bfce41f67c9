"""Budgets that a request meets: its customer's, its project's, its key's; and what it may cost of each."""

from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from entrepot.admission.measures import MetLimit, used_up
from entrepot.core.budgets import HELD_MAX, OwnedBudget
from entrepot.core.capacity import ServedLimit
from entrepot.core.costs import CostPart, Costs
from entrepot.core.errors import NoPrice
from entrepot.core.estimate import Estimate
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.snapshot import ServedProject
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

    met: MetLimit
    owned: OwnedBudget
    at: Instant
    spent: int
    costs: Costs | None
    parts: Sequence[CostPart]

    @property
    def resets_at(self) -> Instant | None:
        """When it begins anew, or grows; None for never."""
        return None if self.met.ends == END_OF_TIME else self.met.ends

    def used(self, meters: dict[str, int], tier: str) -> int:
        """The units of what was used, by meter, at the tier it was served at."""
        if self.costs is None:
            return used_up(self.met, meters, tier)
        return min(self.costs.cost(tier, self.at, meters), HELD_MAX)


class Running(msgspec.Struct, gc=False):
    """A budget, with the limit that it was in the term that was asked for last."""

    owned: OwnedBudget
    last: ServedLimit | None = None

    def limit_at(self, at: Instant) -> ServedLimit:
        """The limit that it is at an instant."""
        last = self.last
        if last is None or not last.begins <= at < last.ends:
            term, kind = self.owned.term_at(at), self.owned.budget.kind
            name = "the prepaid balance" if kind == "prepaid" else f"the {kind} budget"
            whose = f"{self.owned.scope} {self.owned.owner}"
            last = self.last = ServedLimit(term.limit, name, whose, begins=term.begins, ends=term.ends)
        return last


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
            limit = MetLimit(running.limit_at(asked.at))
            spent = self._spent(limit.limit.id)
            if limit.measure != "money":
                needs.append((ServedBudget(limit, running.owned, asked.at, spent, None, ()), min(tokens, HELD_MAX)))
                continue
            if parts is None:
                parts = _parts(costs, asked)
            if costs is None or parts is None:
                raise NoPrice(
                    f"The deployment {asked.deployment!r} has no price at the tier {asked.tier!r} now, so nothing can "
                    f"be held of {limit.served.name} of {limit.served.whose}; its operator has to declare one."
                )
            units = sum(part.pico for part in parts)
            needs.append((ServedBudget(limit, running.owned, asked.at, spent, costs, parts), min(units, HELD_MAX)))
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
