"""Who buys: customers, their projects and deployments, and the principals and keys that act for them."""

from typing import Literal

import msgspec

from entrepot.core.budgets import Budget, TopUp
from entrepot.core.lifecycle import Upgrade
from entrepot.core.parties import Party
from entrepot.core.periods import END_OF_TIME, Instant, format_instant
from entrepot.core.provisioned import Geography, UnitsFrom
from entrepot.core.service_tiers import ServiceTier
from entrepot.core.terms import Term
from entrepot.core.upstream_rules import PoolRules, Residency

DeploymentKind = Literal["standard", "provisioned"]
Role = Literal["user", "reader"]
CacheStore = Literal["memory", "valkey"]
CachedRequests = Literal["repeatable", "all"]


class ParentFrom(msgspec.Struct, frozen=True):
    """To which group under common control a customer belongs from an instant on; "" to none."""

    begins: Instant
    parent: str

    def __str__(self) -> str:
        return f"{self.parent or 'none'} from {format_instant(self.begins)}"


class Customer(msgspec.Struct, frozen=True):
    """A contracting party. parent names the group under common control that it belongs to, or is empty.

    party: what its invoices say of it beside its name, once it is declared. prepaid: what it paid before it spends it;
    with any, nothing is served beyond their sum. parents: where the parent changes, in the order of time; parent is the
    last one. shows_costs: whether its requests may be told what they cost.
    """

    id: str
    name: str
    parent: str = ""
    market: str = ""
    since: Instant = 0
    party: Party | None = None
    budget: Budget | None = None
    prepaid: tuple[TopUp, ...] = ()
    parents: tuple[ParentFrom, ...] = ()
    shows_costs: bool = False

    def at(self, at: Instant) -> "Customer":
        """The customer with the parent it has at an instant."""
        if not self.parents:
            return self
        parent = next((item.parent for item in reversed(self.parents) if item.begins <= at), "")
        return msgspec.structs.replace(self, parent=parent)


class Contract(msgspec.Struct, frozen=True):
    """What a customer agreed to, in force from effective_from until the customer's next contract begins.

    id is "{customer}@{effective date}". line_grain: one invoice line per model and meter, or per model. terms: in the
    order they were declared in, which is the order discounts apply in. price_currency: of the price book, where that is
    not the currency of the invoices.
    """

    id: str
    customer: str
    effective_from: Instant
    effective_to: Instant
    price_book: str
    currency: str
    zone: str
    line_grain: Literal["meter", "model"] = "meter"
    terms: tuple[Term, ...] = ()
    price_currency: str = ""

    @property
    def charged_in(self) -> str:
        """The currency of its prices, commitments and accruals."""
        return self.price_currency or self.currency


class Project(msgspec.Struct, frozen=True):
    """A customer's subdivision, and what a key belongs to. region: where it is to be served, or "" for anywhere."""

    id: str
    customer: str
    region: str = ""
    residency: Residency = "prefer"
    budget: Budget | None = None


class AnswerCaching(msgspec.Struct, frozen=True):
    """That a deployment's answers are kept, to be given again to a request that is exactly the same.

    store: the memory of each gateway process, or a Valkey server that all share. requests: those that ask for a
    repeatable answer, or all. bytes_max: a longer answer is not kept.
    """

    ttl_s: int
    store: CacheStore = "memory"
    requests: CachedRequests = "repeatable"
    bytes_max: int = 2**20

    def __str__(self) -> str:
        return f"{self.ttl_s} s, store {self.store}, {self.requests} requests, at most {self.bytes_max} bytes"


class Queueing(msgspec.Struct, frozen=True):
    """That a deployment's requests wait when its limits have no room for them.

    for_s: the longest that one waits. requests: so many at most wait in each gateway process.
    """

    for_s: int
    requests: int = 100

    def __str__(self) -> str:
        return f"{self.for_s} s, at most {self.requests} requests"


class Deployment(msgspec.Struct, frozen=True):
    """A project's named binding of a model; its name is what clients send as the model.

    region: "" for its project's. routing: None for its model's. geography: how far its requests may be processed.
    units: of a provisioned one, in the order of time; a number without a date begins at 0, and holds from when it was
    applied. spillover: the standard deployment of the project that answers what it is too full for, or "".
    queue: None where its requests do not wait. upgrade: None for what is usual for its kind, see core.upgrades.
    service_tier: of its requests that do not name one.
    """

    id: str
    project: str
    model: str
    kind: DeploymentKind = "standard"
    tokens_per_minute: int = 0
    cache: AnswerCaching | None = None
    region: str = ""
    residency: Residency = "prefer"
    routing: PoolRules | None = None
    geography: Geography = "global"
    units: tuple[UnitsFrom, ...] = ()
    spillover: str = ""
    queue: Queueing | None = None
    upgrade: Upgrade | None = None
    service_tier: ServiceTier = "default"


class Principal(msgspec.Struct, frozen=True):
    """A person or application known by a directory's token (its object or application id), acting for a project.

    A reader may list models and nothing else. issuer: of the directory whose word counts, "" where there is only one.
    """

    id: str
    project: str
    role: Role = "user"
    issuer: str = ""


class IdentityProvider(msgspec.Struct, frozen=True):
    """A directory whose signed tokens are accepted. keys is its JWK set as JSON text."""

    issuer: str
    audiences: tuple[str, ...]
    keys: str


class ApiKey(msgspec.Struct, frozen=True):
    """An issued key; only its digest is kept. revoked_at is END_OF_TIME while it is good.

    continues: the first of the keys that it replaced, one after another; its budget is that one's, going on. "": none.
    """

    id: str
    digest: str
    project: str
    name: str
    created_at: Instant
    revoked_at: Instant = END_OF_TIME
    budget: Budget | None = None
    continues: str = ""

    @property
    def first(self) -> str:
        """The key that its budget began with."""
        return self.continues or self.id
