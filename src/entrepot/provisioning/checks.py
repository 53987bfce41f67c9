"""Whether what is declared fits together: ids declared once, references that lead somewhere, prices of what is sold."""

from collections.abc import Callable, Collection, Hashable, Iterable
from itertools import pairwise
from typing import TypeVar

from entrepot.core.catalog import COUNTED_IN, Model
from entrepot.core.money import round_to_minor
from entrepot.core.periods import END_OF_TIME
from entrepot.core.prices import PriceBookVersion, PriceTable
from entrepot.core.tenancy import Contract, Deployment
from entrepot.core.terms import Credit, Discount, LockedRate, Reservation, Tax
from entrepot.core.tokens import UNIT_HOURS
from entrepot.core.upgrades import models_of
from entrepot.provisioning.agreements import check_successions
from entrepot.provisioning.budgets import check_budgets
from entrepot.provisioning.caches import check_cached_prices
from entrepot.provisioning.charges import check_charges
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.lifecycle import check_access
from entrepot.provisioning.provisioned import check_agreed, check_capacity
from entrepot.provisioning.quotas import check_quotas
from entrepot.provisioning.service_tiers import check_service_tiers
from entrepot.provisioning.subscriptions import check_subscriptions
from entrepot.provisioning.upgrades import check_successors

OWN = "own"  # The operator's own models belong to this partner, which nobody declares.

_Value = TypeVar("_Value")


def check(draft: Draft) -> None:
    """Notes every fault at the mapping it belongs to."""
    _check_ids(draft)
    _check_references(draft)
    _check_regions(draft)
    check_quotas(draft)
    check_capacity(draft.deployments, {item.value.id: item.value for item in draft.models})
    check_service_tiers(draft.models, draft.upstreams, draft.deployments)
    _check_prices(draft)
    _check_contracts(draft)
    check_agreed(draft)
    check_subscriptions(draft)
    _check_currencies(draft)
    _check_that_sold_models_have_prices(draft)
    check_charges(draft)
    check_budgets(draft)


def _check_ids(draft: Draft) -> None:
    _once(draft.operators, lambda _: "operator")
    _once(draft.partners, lambda partner: partner.id)
    _once(draft.models, lambda model: model.id)
    _once(draft.upstreams, lambda upstream: upstream.id)
    _once(draft.books, lambda book: book.id)
    _once(draft.customers, lambda customer: customer.id)
    _once(draft.projects, lambda project: project.id)
    _once(draft.deployments, lambda deployment: (deployment.project, deployment.id))
    _once(draft.identity_providers, lambda provider: provider.issuer)
    _once(draft.principals, lambda principal: principal.id)
    _once(draft.exchange_rates, lambda rate: rate.id, "on")
    _once(draft.quotas, lambda quota: quota.id, "customer")
    _once(draft.agreements, lambda agreement: agreement.id, "kind")
    _once(draft.subscriptions, lambda subscription: subscription.id)
    _once(draft.partner_reports, lambda report: report.id, "period")
    for partner in draft.partners:
        if partner.value.id == OWN:
            partner.fields.fault(f"{OWN} stands for the operator itself and is not declared; remove it", "id")


def _once(items: Iterable[Declared[_Value]], key_of: Callable[[_Value], Hashable], key: str = "id") -> None:
    first: dict[Hashable, Declared[_Value]] = {}
    for item in items:
        identity = key_of(item.value)
        if identity == "":
            continue
        known = first.setdefault(identity, item)
        if known is not item:
            item.fields.fault(f"declared a second time, first at {known.fields.place}", key)


def _check_references(draft: Draft) -> None:
    partners = {OWN, *(item.value.id for item in draft.partners)}
    models = {item.value.id for item in draft.models}
    customers = {item.value.id for item in draft.customers}
    projects = {item.value.id for item in draft.projects}
    books = {item.value.id for item in draft.books}
    for model in draft.models:
        _known(model, "partner", model.value.partner, partners)
        for other in model.value.compatible:
            _known(model, "model", other, models, at="compatible")
    check_access(draft.models, customers)
    check_successors(draft.models)
    for upstream in draft.upstreams:
        for served in upstream.value.models:
            _known(upstream, "model", served, models, at="models")
    for price in draft.prices:
        _known(price, "model", price.value[1].model, models)
    _check_models_of_terms(draft, models)
    _check_customers_of_subscriptions(draft, customers)
    _check_partners_of_agreements(draft, partners - {OWN})
    check_successions(draft)
    for contract in draft.contracts:
        _known(contract, "customer", contract.value.customer, customers)
        _known(contract, "price_book", contract.value.price_book, books)
    for project in draft.projects:
        _known(project, "customer", project.value.customer, customers)
    for deployment in draft.deployments:
        _known(deployment, "project", deployment.value.project, projects)
        _known(deployment, "model", deployment.value.model, models)
    for principal in draft.principals:
        _known(principal, "project", principal.value.project, projects)
    _check_issuers(draft)


def _check_partners_of_agreements(draft: Draft, partners: Collection[str]) -> None:
    for agreement in draft.agreements:
        _known(agreement, "partner", agreement.value.partner, partners)
    for report in draft.partner_reports:
        _known(report, "partner", report.value.partner, partners)
        agreed = {(item.value.partner, item.value.kind) for item in draft.agreements}
        if report.value.partner in partners and (report.value.partner, report.value.kind) not in agreed:
            report.fields.fault(
                f"there is no agreement of kind {report.value.kind} with {report.value.partner}", "kind"
            )


def _check_customers_of_subscriptions(draft: Draft, customers: Collection[str]) -> None:
    for subscription in draft.subscriptions:
        _known(subscription, "customer", subscription.value.customer, customers)


def _check_models_of_terms(draft: Draft, models: Collection[str]) -> None:
    for term in draft.terms:
        if isinstance(term.value, Discount | Tax | Reservation):
            for name in term.value.models:
                _known(term, "model", name, models, at="models")


def _check_regions(draft: Draft) -> None:
    """A region asked for is one that an upstream is in; one that is required, is one that the model is served in."""
    regions = {item.value.rules.region for item in draft.upstreams} - {""}
    projects = {item.value.id: item.value for item in draft.projects}
    models = {item.value.id: item.value for item in draft.models}
    for project in draft.projects:
        _known(project, "region", project.value.region, regions)
    for deployment in draft.deployments:
        value = deployment.value
        _known(deployment, "region", value.region, regions)
        asked = value if value.region else projects.get(value.project, value)
        for of in models_of(value, models):
            served = {item.value.rules.region for item in draft.upstreams if of.model in item.value.models}
            if asked.residency == "require" and asked.region in regions - served:
                deployment.fields.fault(
                    f"no upstream in the region {asked.region} serves the model {of.model}, and no other may", "model"
                )


def _check_issuers(draft: Draft) -> None:
    """Who runs a directory can write any name into its tokens, so with several each principal is one directory's."""
    issuers = {item.value.issuer for item in draft.identity_providers}
    for principal in draft.principals:
        if principal.value.issuer:
            _known(principal, "issuer", principal.value.issuer, issuers)
        elif len(issuers) > 1:
            principal.fields.fault(
                f"there are {len(issuers)} identity providers; say with issuer whose tokens may speak for it", "id"
            )


def _known(item: Declared[_Value], what: str, name: str, names: Collection[str], at: str = "") -> None:
    if name and name not in names:
        word = what.replace("_", " ")
        item.fields.fault(f"{word} {name!r} is not declared{suggestion(name, names)}", at or what)


def _check_prices(draft: Draft) -> None:
    _once(
        draft.prices,
        lambda price: (price[0], *price[1].key) if price[1].model else "",
        "meter",
    )
    by_book: dict[str, list[Declared[PriceBookVersion]]] = {}
    for version in draft.versions:
        by_book.setdefault(version.value.book, []).append(version)
    for versions in by_book.values():
        _once(versions, lambda version: version.effective_from, "effective_from")


def _check_contracts(draft: Draft) -> None:
    for contracts in _contracts_by_customer(draft).values():
        _once(contracts, lambda contract: contract.effective_from, "effective_from")
        for earlier, later in pairwise(contracts):
            if earlier.value.effective_from < later.value.effective_from < _explicit_end(earlier):
                later.fields.fault(
                    f"begins before the contract at {earlier.fields.place} ends; move effective_from or effective_to",
                    "effective_from",
                )
        for contract in contracts:
            if contract.value.effective_to <= contract.value.effective_from:
                contract.fields.fault("effective_to must be later than effective_from", "effective_to")


def _contracts_by_customer(draft: Draft) -> dict[str, list[Declared[Contract]]]:
    by_customer: dict[str, list[Declared[Contract]]] = {}
    for contract in sorted(draft.contracts, key=lambda item: item.value.effective_from):
        if contract.value.customer and contract.value.effective_from:
            by_customer.setdefault(contract.value.customer, []).append(contract)
    return by_customer


def _explicit_end(contract: Declared[Contract]) -> int:
    """Where the contract ends by its own words; 0 when it says nothing and the next contract ends it."""
    return contract.value.effective_to if contract.value.effective_to != END_OF_TIME else 0


def _check_currencies(draft: Draft) -> None:
    """A price book has one currency: its own, or that of the contracts that use it.

    A contract may be invoiced in another currency than its book declares, if there is a rate to convert by. Credit is
    in whole minor units.
    """
    declared = {book.value.id: book.value.currency for book in draft.books}
    implied: dict[str, tuple[str, str]] = {}
    pairs = {(rate.value.sold, rate.value.bought) for rate in draft.exchange_rates}
    for contract in draft.contracts:
        amounts = [term.amount_pico for term in contract.value.terms if isinstance(term, Credit)]
        if any(amount != round_to_minor(amount, contract.value.currency) for amount in amounts):
            contract.fields.fault(f"credit must be in whole minor units of {contract.value.currency}", "terms")
        book, currency = contract.value.price_book, contract.value.currency
        if not (book and currency) or declared.get(book) == currency:
            continue
        if declared.get(book):
            is_locked = any(isinstance(term, LockedRate) for term in contract.value.terms)
            if not is_locked and (declared[book], currency) not in pairs:
                contract.fields.fault(
                    f"price book {book} is in {declared[book]} and this contract in {currency}; agree on a rate with a "
                    f"term of kind exchange, or declare exchange_rates from {declared[book]} to {currency}",
                    "currency",
                )
            continue
        expected, place = implied.setdefault(book, (currency, str(contract.fields.place)))
        if expected != currency:
            contract.fields.fault(
                f"price book {book} is in {expected} (by {place}) and this contract in {currency}; "
                "declare the currency of the book, and a rate to convert by",
                "currency",
            )


def _check_that_sold_models_have_prices(draft: Draft) -> None:
    models = {item.value.id: item.value for item in draft.models}
    customer_of = {item.value.id: item.value.customer for item in draft.projects}
    contracts = _contracts_by_customer(draft)
    books = {item.value.id for item in draft.books}
    with_contract = {item.value.customer for item in draft.contracts}
    by_time = sorted((item.value for item in draft.versions), key=lambda version: version.effective_from)
    newest = {version.book: version for version in by_time}
    tables = {book: PriceTable(version) for book, version in newest.items()}
    for deployment in draft.deployments:
        customer = customer_of.get(deployment.value.project)
        if deployment.value.model not in models or not customer:
            continue
        agreed = contracts.get(customer, [])
        if not agreed:
            if customer not in with_contract:
                deployment.fields.fault(
                    f"customer {customer} has no contract, so its usage could not be priced", "project"
                )
        elif agreed[-1].value.price_book in books:
            for of in models_of(deployment.value, models):
                contract = agreed[-1].value
                _check_priced(deployment, models[of.model], contract, tables.get(contract.price_book))


def _check_priced(deployment: Declared[Deployment], model: Model, contract: Contract, table: PriceTable | None) -> None:
    """The newest prices of the customer's newest contract must cover what the model is asked for.

    Older ones need not: a model may be newer than they are.
    """

    def has_price(meter: str) -> bool:
        return table is not None and table.price(model.id, meter, "default", deployment.value.geography) is not None

    if deployment.value.kind == "provisioned":  # Its requests cost nothing beside its units.
        missing = "" if has_price(UNIT_HOURS) else UNIT_HOURS
    else:
        missing = unpriced(model, has_price)
    if missing:
        where = f"version {table.version.id}" if table else f"price book {contract.price_book}, which has no version"
        what = "" if model.id == deployment.value.model else ", which it is upgraded to,"
        deployment.fields.fault(
            f"model {model.id}{what} has no price for {missing} in {where} (contract {contract.id}), "
            "so its usage could not be priced",
            "model",
        )
    tier = deployment.value.service_tier
    if table is not None and tier != "default":
        missing = unpriced(model, lambda meter: table.price(model.id, meter, tier) is not None)
        if missing:
            deployment.fields.fault(
                f"model {model.id} has no price for {missing} at tier {tier} in version {table.version.id}",
                "service_tier",
            )
    if table is not None and deployment.value.cache is not None:
        check_cached_prices(deployment, model.id, table.version)


def unpriced(model: Model, has_price: Callable[[str], bool]) -> str:
    """What the model's operations are counted in and has no price, in words; "" when their usage can be booked.

    An operation that can be counted in more than one way needs the prices of one of them.
    """
    missing: dict[str, None] = {}
    for operation in model.operations or ("chat",):
        ways = [[meter for meter in meters if not has_price(meter)] for meters in COUNTED_IN[operation]]
        if all(ways):
            missing[", or ".join(" and ".join(meters) for meters in ways)] = None
    return "; ".join(missing)
