"""What was read of world files before it is known to fit together: values with the place they were declared at."""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from entrepot.core.agreements import Agreement, PartnerReport
from entrepot.core.catalog import Model, Partner, Upstream
from entrepot.core.exchange import ExchangeRate
from entrepot.core.prices import Price, PriceBookVersion
from entrepot.core.quotas import Quota
from entrepot.core.subscriptions import Subscription
from entrepot.core.tenancy import Contract, Customer, Deployment, IdentityProvider, Principal, Project
from entrepot.core.terms import Term
from entrepot.core.world import Operator
from entrepot.provisioning.fields import Fields

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Declared(Generic[_Value]):
    """A value and the mapping it was read from."""

    value: _Value
    fields: Fields


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A book as declared; currency is "" when it is left to the contracts that use it."""

    id: str
    currency: str


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything read so far, in the order of the files. prices: (version id, price)."""

    operators: list[Declared[Operator]] = field(default_factory=list)
    partners: list[Declared[Partner]] = field(default_factory=list)
    models: list[Declared[Model]] = field(default_factory=list)
    upstreams: list[Declared[Upstream]] = field(default_factory=list)
    books: list[Declared[PriceBook]] = field(default_factory=list)
    versions: list[Declared[PriceBookVersion]] = field(default_factory=list)
    prices: list[Declared[tuple[str, Price]]] = field(default_factory=list)
    customers: list[Declared[Customer]] = field(default_factory=list)
    terms: list[Declared[Term]] = field(default_factory=list)
    contracts: list[Declared[Contract]] = field(default_factory=list)
    projects: list[Declared[Project]] = field(default_factory=list)
    deployments: list[Declared[Deployment]] = field(default_factory=list)
    exchange_rates: list[Declared[ExchangeRate]] = field(default_factory=list)
    agreements: list[Declared[Agreement]] = field(default_factory=list)
    partner_reports: list[Declared[PartnerReport]] = field(default_factory=list)
    subscriptions: list[Declared[Subscription]] = field(default_factory=list)
    identity_providers: list[Declared[IdentityProvider]] = field(default_factory=list)
    quotas: list[Declared[Quota]] = field(default_factory=list)
    principals: list[Declared[Principal]] = field(default_factory=list)

    def contracts_by_customer(self) -> dict[str, list[Contract]]:
        """{customer: its contracts as declared}."""
        found: dict[str, list[Contract]] = {}
        for contract in self.contracts:
            found.setdefault(contract.value.customer, []).append(contract.value)
        return found
