"""Budgets: what a world file says of them, whose they are, and the prices that a gateway holds them by."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

import msgspec

from entrepot.core.budgets import THRESHOLDS, Budget, BudgetKind, BudgetMode, OwnedBudget, Scope, TopUp
from entrepot.core.capacity import Measure
from entrepot.core.costs import PricesInForce
from entrepot.core.errors import BadInput
from entrepot.core.money import parse_pico
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.prices import PriceBookVersion
from entrepot.core.tenancy import ApiKey, Contract
from entrepot.core.terms import discounted
from entrepot.core.world import World, WorldIndex
from entrepot.provisioning.draft import Draft
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import read_amount

_KEYS = ("monthly", "total", "in", "mode", "thresholds", "webhook", "email")
_MODES: tuple[BudgetMode, ...] = get_args(BudgetMode)
_KINDS: tuple[BudgetKind, ...] = ("monthly", "total")
_MEASURES: tuple[Measure, ...] = ("money", "tokens")
_THRESHOLD_MAX = 1000
_URL = re.compile(r"https?://[^\s/?#]+(/[^\s#]*)?")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


def read_budget(of: Fields) -> Budget | None:
    """The budget that a customer or a project declares, or None."""
    fields = of.section("budget", f"{of.what}: budget", _KEYS)
    if fields is None:
        return None
    kinds = [kind for kind in _KINDS if fields.has(kind)]
    if len(kinds) != 1:
        fields.fault("a budget says either monthly or total, and how much", "total")
    measure = fields.choice("in", _MEASURES, "money")
    kind = kinds[0] if kinds else "monthly"
    units = 0
    if kinds:
        units = read_amount(fields, kind) if measure == "money" else fields.integer(kind)
    return Budget(
        units=units,
        measure=measure,
        kind=kind,
        mode=fields.choice("mode", _MODES, "hard"),
        thresholds=_thresholds(fields),
        webhook=_webhook(fields),
        email=_email(fields),
    )


def read_prepaid(of: Fields, zone: str) -> tuple[TopUp, ...]:
    """The payments of a customer into its prepaid balance, by date."""
    top_ups = [
        TopUp(row.instant("on", zone), read_amount(row, "amount"))
        for row in of.rows("prepaid", f"{of.what}: payment", ("on", "amount"))
    ]
    return tuple(sorted(top_ups, key=lambda top_up: (top_up.on, top_up.pico)))


def parse_budget(text: str) -> Budget:
    """The budget of "monthly=100" or "total=5000000 tokens soft": what a command is given.

    Raises: BadInput.
    """
    first, *words = text.split()
    kind, _, amount = first.partition("=")
    measure: Measure = "tokens" if "tokens" in words else "money"
    mode: BudgetMode = "soft" if "soft" in words else "hard"
    try:
        if kind not in _KINDS or set(words) - {"money", "tokens", "hard", "soft"}:
            raise ValueError
        units = parse_pico(amount) if measure == "money" else int(amount)
        if units < 0:
            raise ValueError
    except ValueError:
        raise BadInput(
            f'{text!r} is not a budget such as "monthly=100", "total=5.50 soft" or "monthly=1000000 tokens"',
            param="budget",
        ) from None
    return Budget(units=units, measure=measure, kind="total" if kind == "total" else "monthly", mode=mode)


def check_budgets(draft: Draft) -> None:
    """Notes a fault where money could not be counted: a customer whose contracts are priced in several currencies."""
    agreed = draft.contracts_by_customer()
    books = {book.value.id: book.value.currency for book in draft.books}

    def currencies(customer: str) -> list[str]:
        return sorted({books.get(contract.price_book) or contract.currency for contract in agreed.get(customer, ())})

    for customer in draft.customers:
        for key in ("budget", "prepaid"):
            if customer.value.prepaid if key == "prepaid" else _is_money(customer.value.budget):
                _check_currency(customer.fields, customer.value.id, key, currencies(customer.value.id))
    for project in draft.projects:
        if _is_money(project.value.budget):
            _check_currency(project.fields, project.value.customer, "budget", currencies(project.value.customer))


def _is_money(budget: Budget | None) -> bool:
    return budget is not None and budget.measure == "money"


def _check_currency(fields: Fields, customer: str, key: str, currencies: Sequence[str]) -> None:
    if customer and not currencies:
        fields.fault(f"customer {customer} has no contract, so there are no prices to count money by", key)
    elif len(currencies) > 1:
        fields.fault(
            f"the contracts of {customer} have prices in {' and '.join(currencies)}; a budget in money needs one "
            "currency, so count it in tokens",
            key,
        )


def owned_budgets(world: World, keys: Iterable[ApiKey]) -> Iterator[OwnedBudget]:
    """All budgets of a world and its good keys. Months are those of the customer's newest contract.

    keys: revoked ones, too, where what was used with them matters.
    """
    newest: dict[str, Contract] = {}
    for contract in sorted(world.contracts, key=lambda contract: contract.effective_from):
        newest[contract.customer] = contract
    customer_of = {project.id: project.customer for project in world.projects}

    def owned(
        scope: Scope,
        owner: str,
        customer: str,
        budget: Budget,
        top_ups: tuple[TopUp, ...] = (),
        keys: tuple[str, ...] = (),
    ) -> OwnedBudget:
        contract = newest.get(customer)
        zone, currency = (contract.zone, contract.charged_in) if contract else ("UTC", "")
        return OwnedBudget(scope, owner, customer, budget, zone, currency, top_ups, keys)

    for customer in world.customers:
        if customer.budget is not None:
            yield owned("customer", customer.id, customer.id, customer.budget)
        if customer.prepaid:
            yield owned("customer", customer.id, customer.id, _balance(customer.budget), customer.prepaid)
    for project in world.projects:
        if project.budget is not None:
            yield owned("project", project.id, project.customer, project.budget)
    for key, together in _budgeted(keys):
        if key.budget is not None and key.project in customer_of:
            yield owned("key", key.first, customer_of[key.project], key.budget, keys=together)


def _budgeted(keys: Iterable[ApiKey]) -> Iterator[tuple[ApiKey, tuple[str, ...]]]:
    """The good keys that have a budget, each with all that have the same one."""
    of_first: dict[str, list[ApiKey]] = {}
    for key in keys:
        if key.budget is not None:
            of_first.setdefault(key.first, []).append(key)
    for together in of_first.values():
        names = tuple(key.id for key in together)
        yield from ((key, names) for key in together if key.revoked_at == END_OF_TIME)


def shown_currencies(world: World) -> dict[str, str]:
    """{customer: the currency of its newest contract's prices} of those whose requests are told their costs."""
    shown = {customer.id for customer in world.customers if customer.shows_costs}
    contracts = sorted(world.contracts, key=lambda contract: contract.effective_from)
    return {contract.customer: contract.charged_in for contract in contracts if contract.customer in shown}


def _balance(told: Budget | None) -> Budget:
    """A prepaid balance, of which those are told who are told of the customer's budget."""
    if told is None:
        return Budget(units=0, kind="prepaid")
    return Budget(0, "money", "prepaid", "hard", told.thresholds, told.webhook, told.email)


def prices_in_force(index: WorldIndex, customer: str, model: str) -> tuple[PricesInForce, ...]:
    """The customer's agreed prices of a model, under each of its contracts, by time."""
    return tuple(
        PricesInForce(begins, ends, version)
        for contract in index.contracts_of(customer)
        for begins, ends, version in _versions(index, contract, model)
    )


def _versions(index: WorldIndex, contract: Contract, model: str) -> Iterator[tuple[Instant, Instant, PriceBookVersion]]:
    versions = index.price_versions(contract.price_book, contract.zone)
    ends_at: Sequence[int] = [*(begins for begins, _ in versions[1:]), END_OF_TIME]
    for (begins, version), ends in zip(versions, ends_at, strict=True):
        window = max(begins, contract.effective_from), min(ends, contract.effective_to)
        if window[0] < window[1]:
            prices = tuple(price for price in version.prices if price.model == model)
            yield *window, discounted(msgspec.structs.replace(version, prices=prices), contract.terms)


def _thresholds(fields: Fields) -> tuple[int, ...]:
    if not fields.has("thresholds"):
        return THRESHOLDS
    found = set()
    for text, _ in fields.texts("thresholds"):
        if text.isdecimal() and 0 < int(text) <= _THRESHOLD_MAX:
            found.add(int(text))
        else:
            fields.fault(
                f"threshold {text!r} must be a whole number of per cent, from 1 to {_THRESHOLD_MAX}", "thresholds"
            )
    return tuple(sorted(found))


def _webhook(fields: Fields) -> str:
    url = fields.text("webhook", "")
    if url and not _URL.fullmatch(url):
        fields.fault(f"webhook {url!r} must be like https://host/path", "webhook")
    return url


def _email(fields: Fields) -> tuple[str, ...]:
    if not fields.has("email"):
        return ()
    addresses = tuple(text for text, _ in fields.texts("email"))
    for text in addresses:
        if not _EMAIL.fullmatch(text):
            fields.fault(f"email {text!r} must be like billing@example.org", "email")
    return addresses
