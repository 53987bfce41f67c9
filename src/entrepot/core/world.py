"""The world: everything a provider has declared, in one immutable value, and the questions asked of it.

Entities keep the order of their ids, so that equal worlds have equal bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol, TypeVar

import msgspec

from entrepot.core.agreements import Agreement, PartnerReport
from entrepot.core.catalog import Model, Partner, Upstream
from entrepot.core.exchange import ExchangeRate
from entrepot.core.installed import History, Installed, history_after
from entrepot.core.money import Rounding
from entrepot.core.parties import Party
from entrepot.core.periods import Instant
from entrepot.core.prices import Price, PriceBookVersion, PriceTable
from entrepot.core.quotas import Quota
from entrepot.core.subscriptions import Subscription
from entrepot.core.tenancy import Contract, Customer, Deployment, IdentityProvider, Principal, Project
from entrepot.core.terms import Discount, LockedRate, Reservation, Tax, discounted
from entrepot.core.tokens import UNIT_HOURS
from entrepot.core.upgrades import models_of


class Operator(msgspec.Struct, frozen=True):
    """Who runs this installation. party: what its invoices say of it beside its name, once it is declared."""

    name: str
    currency: str
    rounding: Rounding = "half_up"
    party: Party | None = None


class World(msgspec.Struct, frozen=True):
    """All declared records. Deployment ids are unique within their project; everything else by id."""

    operator: Operator
    partners: tuple[Partner, ...] = ()
    models: tuple[Model, ...] = ()
    upstreams: tuple[Upstream, ...] = ()
    price_books: tuple[PriceBookVersion, ...] = ()
    customers: tuple[Customer, ...] = ()
    contracts: tuple[Contract, ...] = ()
    projects: tuple[Project, ...] = ()
    deployments: tuple[Deployment, ...] = ()
    identity_providers: tuple[IdentityProvider, ...] = ()
    principals: tuple[Principal, ...] = ()
    exchange_rates: tuple[ExchangeRate, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    partner_reports: tuple[PartnerReport, ...] = ()
    quotas: tuple[Quota, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(World)

encode_world = _encoder.encode
decode_world = _decoder.decode

Change = Literal["add", "change", "remove"]


def with_history(current: World, earlier: World | None, at: Instant) -> World:
    """The current world with the models, customers, contracts, price versions and prices that only the earlier one has.

    Usage metered under terms that were taken out of the world is still rated and invoiced under them, and shared with
    the partner whose model it was. Applying a world refuses to take out contracts and prices that have usage, but more
    usage may reach the log between that look and the world. Nothing else is charged under them: a contract that is gone
    was never in force, and seats that had not begun never will. at: when the current world was applied.
    """
    if earlier is None:
        return current
    return msgspec.structs.replace(
        current,
        models=_united(current.models, earlier.models),
        customers=_united(current.customers, earlier.customers),
        contracts=_with_gone_contracts(current.contracts, earlier.contracts),
        subscriptions=_united(current.subscriptions, (item for item in earlier.subscriptions if item.begins <= at)),
        price_books=_united(_with_dropped_prices(current.price_books, earlier.price_books), earlier.price_books),
    )


def _with_gone_contracts(current: tuple[Contract, ...], earlier: tuple[Contract, ...]) -> tuple[Contract, ...]:
    """The current contracts, with the reservations they have lost, and the earlier ones as far as they price usage."""
    known = {contract.id: contract for contract in earlier}
    kept = tuple(_with_lost_reservations(contract, known.get(contract.id, contract)) for contract in current)
    return _united(kept, map(_never_in_force, earlier))


def _with_lost_reservations(contract: Contract, earlier: Contract) -> Contract:
    known = {term.id for term in contract.terms if isinstance(term, Reservation)}
    lost = tuple(term for term in earlier.terms if isinstance(term, Reservation) and term.id not in known)
    return msgspec.structs.replace(contract, terms=contract.terms + lost) if lost else contract


def _never_in_force(contract: Contract) -> Contract:
    pricing = tuple(term for term in contract.terms if isinstance(term, Discount | LockedRate | Reservation | Tax))
    return msgspec.structs.replace(contract, effective_to=contract.effective_from, terms=pricing)


def _with_dropped_prices(
    current: tuple[PriceBookVersion, ...], earlier: tuple[PriceBookVersion, ...]
) -> tuple[PriceBookVersion, ...]:
    """The current versions, each with the earlier prices of what it has no price for any more, its own or a whole's."""
    known = {version.id: version for version in earlier}
    return tuple(_with_prices_of(known.get(version.id, version), version) for version in current)


def _with_prices_of(earlier: PriceBookVersion, version: PriceBookVersion) -> PriceBookVersion:
    if (earlier.prices, earlier.windows) == (version.prices, version.windows):
        return version
    price = PriceTable(version).price
    known = {item.key for item in version.prices}
    dropped = tuple(
        item
        for item in earlier.prices
        if item.key not in known and (_is_for_a_class(item) or price(item.model, item.meter, item.tier) is None)
    )
    names = {window.name for window in version.windows}
    windows = version.windows + tuple(window for window in earlier.windows if window.name not in names)
    return msgspec.structs.replace(version, prices=version.prices + dropped, windows=windows)


def _is_for_a_class(price: Price) -> bool:
    """Whether only usage that was told apart when it was counted has it; units are of their geography at any price."""
    return price.price_class != "" and price.meter != UNIT_HOURS


def installed_after(known: History, at: Instant, world: World) -> History:
    """What provisioned deployments were, once the world is applied at the instant."""
    models = {item.id: item for item in world.models}
    return history_after(known, world.deployments, models, {item.id: item.customer for item in world.projects}, at)


class _Named(Protocol):
    """What has an id."""

    @property
    def id(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


def _united(current: tuple[_N, ...], earlier: Iterable[_N]) -> tuple[_N, ...]:
    known = {item.id for item in current}
    kept = (item for item in earlier if item.id not in known)
    return tuple(sorted((*current, *kept), key=lambda item: item.id))


class DeclaredNames:
    """What projects and deployments have ever been declared as, in any world so far.

    A deployment is pointed at another model while requests for the last one are on their way, or upgraded to its
    successor; these are no mistakes.
    """

    __slots__ = ("_deployments", "_projects")

    def __init__(self) -> None:
        self._projects: set[tuple[str, str]] = set()
        self._deployments: set[tuple[str, str, str]] = set()

    def add(self, world: World) -> None:
        """Takes note of what a world declares."""
        self._projects.update((project.id, project.customer) for project in world.projects)
        models = {item.id: item for item in world.models}
        self._deployments.update(
            (item.project, item.id, of.model) for item in world.deployments for of in models_of(item, models)
        )

    def has_project(self, project: str, customer: str) -> bool:
        """Whether the project has ever been the customer's."""
        return (project, customer) in self._projects

    def has_deployment(self, project: str, deployment: str, model: str) -> bool:
        """Whether the project's deployment has ever been of the model."""
        return (project, deployment, model) in self._deployments


class WorldIndex:
    """A world ready to be asked; built once per version."""

    __slots__ = (
        "_agreed",
        "_begins",
        "_contracts",
        "_contracts_by_id",
        "_provisioned",
        "_subscriptions",
        "_tables",
        "_versions",
        "contracts_with_units",
        "customers",
        "declared",
        "deployments",
        "installed",
        "models",
        "projects",
        "world",
    )

    def __init__(self, world: World, installed: History | None = None, declared: "WorldIndex | None" = None) -> None:
        """installed: what provisioned deployments were in all worlds so far.

        declared: the current world alone, where this one has what earlier worlds declared, too.
        """
        self.world = world
        self.declared = declared or self
        self.installed = installed or {}
        self._provisioned: dict[str, list[tuple[tuple[str, str], tuple[Installed, ...]]]] = {}
        for key, steps in self.installed.items():
            for customer in {step.customer for step in steps if step.customer}:
                self._provisioned.setdefault(customer, []).append((key, steps))
        self.contracts_with_units = tuple(contract for contract in world.contracts if self._has_units(contract))
        self.customers = {customer.id: customer for customer in world.customers}
        self.models = {model.id: model for model in world.models}
        self.projects = {project.id: project for project in world.projects}
        self.deployments = {(deployment.project, deployment.id): deployment for deployment in world.deployments}
        self._contracts_by_id = {contract.id: contract for contract in world.contracts}
        self._contracts: dict[str, list[Contract]] = {}
        for contract in sorted(world.contracts, key=lambda contract: contract.effective_from):
            self._contracts.setdefault(contract.customer, []).append(contract)
        self._subscriptions: dict[str, list[Subscription]] = {}
        for subscription in world.subscriptions:
            self._subscriptions.setdefault(subscription.customer, []).append(subscription)
        self._versions: dict[str, list[PriceBookVersion]] = {}
        for version in world.price_books:
            self._versions.setdefault(version.book, []).append(version)
        self._begins: dict[tuple[str, str], list[tuple[Instant, PriceBookVersion]]] = {}
        self._agreed: dict[tuple[str, str], PriceTable] = {}
        self._tables = {version.id: PriceTable(version) for version in world.price_books}

    def _has_units(self, contract: Contract) -> bool:
        """Whether the customer's deployments have ever had units of their own, or the contract reserves some."""
        return contract.customer in self._provisioned or any(isinstance(term, Reservation) for term in contract.terms)

    def contracts_of(self, customer: str) -> Sequence[Contract]:
        """The customer's contracts in the order of time."""
        return self._contracts.get(customer, ())

    def contract_at(self, customer: str, at: Instant) -> Contract | None:
        """The customer's contract in force at the instant, or None."""
        for contract in self.contracts_of(customer):
            if contract.effective_from <= at < contract.effective_to:
                return contract
        return None

    def provisioned_of(self, customer: str) -> Sequence[tuple[tuple[str, str], tuple[Installed, ...]]]:
        """((project, deployment), what it was) of those that have ever been the customer's, by name."""
        return self._provisioned.get(customer, ())

    def subscriptions_of(self, customer: str) -> Sequence[Subscription]:
        """The customer's subscriptions."""
        return self._subscriptions.get(customer, ())

    def contract(self, contract_id: str) -> Contract:
        """The contract of this id; a missing one is a bug."""
        return self._contracts_by_id[contract_id]

    def price_versions(self, book: str, zone: str) -> list[tuple[Instant, PriceBookVersion]]:
        """The book's versions with the instant each comes into force under a contract of the zone, in that order."""
        known = self._begins.get((book, zone))
        if known is None:
            versions = self._versions.get(book, ())
            known = sorted(((version.begins(zone), version) for version in versions), key=lambda item: item[0])
            self._begins[book, zone] = known
        return known

    def prices(self, version_id: str) -> PriceTable:
        """The list prices of a version id; a missing one is a bug."""
        return self._tables[version_id]

    def agreed_prices(self, contract_id: str, version_id: str) -> PriceTable:
        """The version's prices as a contract has them, after its discounts; a missing one of either is a bug."""
        table = self._agreed.get((contract_id, version_id))
        if table is None:
            listed = self._tables[version_id]
            agreed = discounted(listed.version, self.contract(contract_id).terms)
            table = listed if agreed is listed.version else PriceTable(agreed)
            self._agreed[contract_id, version_id] = table
        return table


def index_of(worlds: Iterable[tuple[Instant, World]]) -> WorldIndex | None:
    """The last world with everything that earlier ones declared: all terms that any usage can have been metered under.

    None before the first world. worlds: each with when it was applied.
    """
    installed: History = {}
    current = united = None
    for at, current in worlds:
        installed = installed_after(installed, at, current)
        united = with_history(current, united, at)
    if current is None or united is None:
        return None
    return WorldIndex(united, installed, WorldIndex(current, installed))
