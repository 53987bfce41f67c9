"""World files -> the world, or every fault with its file and line.

Several files make one world: their sections are read as if they stood in one file. docs/reference/world.md describes
every key.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import msgspec
import yaml

from entrepot.core.catalog import Model, Operation
from entrepot.core.errors import WorldRejected
from entrepot.core.periods import END_OF_TIME
from entrepot.core.tenancy import Contract
from entrepot.core.world import World
from entrepot.provisioning.agreements import read_agreements, read_partner_reports
from entrepot.provisioning.checks import check
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.faults import Fault, Place
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.quotas import read_quotas
from entrepot.provisioning.sections import (
    read_customers,
    read_deployments,
    read_exchange_rates,
    read_identities,
    read_models,
    read_operator,
    read_partners,
    read_projects,
    read_upstreams,
)
from entrepot.provisioning.subscriptions import read_subscriptions
from entrepot.provisioning.terms import read_contracts, read_price_books

SECTIONS = (
    *("operator", "partners", "models", "upstreams", "price_books", "customers", "contracts", "projects"),
    *("deployments", "identity_providers", "principals", "exchange_rates"),
    *("agreements", "partner_reports", "quotas", "subscriptions"),
)

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_world(files: Sequence[tuple[str, str]]) -> World:
    """The world of (name, YAML text) files.

    Raises: WorldRejected, whose message has a line for each fault, in the order of the files.
    """
    faults: list[Fault] = []
    roots = [root for name, text in files if (root := _root(name, text, faults)) is not None]
    draft = _read(roots)
    if roots and not draft.operators and not any(root.has("operator") for root in roots):
        roots[0].fault("operator is missing")
    operations = _operations_by_upstream(draft)
    draft.models[:] = [_with_operations(model, operations) for model in draft.models]
    check(draft)
    if faults:
        order = {name: number for number, (name, _) in enumerate(files)}
        found = sorted(set(faults), key=lambda fault: (order[fault.place.file], fault.place.line, fault.message))
        raise WorldRejected("\n".join(str(fault) for fault in found))
    return _assemble(draft)


def _root(name: str, text: str, faults: list[Fault]) -> Fields | None:
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.append(Fault(Place(name, mark.line + 1 if mark else 1), f"not YAML: {error.problem or error.context}"))
        return None
    except yaml.YAMLError as error:
        faults.append(Fault(Place(name, 1), f"not YAML: {' '.join(str(error).split())}"))
        return None
    if not isinstance(node, yaml.MappingNode):
        faults.append(
            Fault(Place(name, 1), "a world file has sections such as operator: and customers:; this has none")
        )
        return None
    return Fields(node, file=name, what="the world", known=SECTIONS, refused={}, faults=faults)


def _read(roots: Sequence[Fields]) -> Draft:
    """Everything declared. The operator first, for its currency; contracts before customers, for their zones."""
    draft = Draft()
    for root in roots:
        operator = root.section("operator", "operator", ("name", "currency", "rounding", "party"))
        if operator is not None:
            read_operator(operator, draft)
    currency = draft.operators[0].value.currency if draft.operators else ""
    for root in roots:
        read_partners(root, draft)
        read_models(root, draft)
        read_upstreams(root, draft)
        read_price_books(root, draft)
        read_contracts(root, draft, currency)
        read_projects(root, draft)
        read_deployments(root, draft)
        read_quotas(root, draft)
        read_identities(root, draft)
        read_exchange_rates(root, draft)
        read_agreements(root, draft, currency)
        read_partner_reports(root, draft)
    zones: dict[str, str] = {}
    for contract in sorted(draft.contracts, key=lambda item: item.value.effective_from):
        zones.setdefault(contract.value.customer, contract.value.zone)
    for root in roots:
        read_customers(root, draft, zones)
        read_subscriptions(root, draft, zones)
    return draft


def _operations_by_upstream(draft: Draft) -> dict[str, tuple[Operation, ...]]:
    """{model: what it can be asked because of the kind of upstream that serves it}."""
    return {
        model: ("embeddings",)
        for upstream in draft.upstreams
        for model in upstream.value.models
        if upstream.value.kind == "onnx_embeddings"
    }


def _with_operations(item: Declared[Model], by_upstream: dict[str, tuple[Operation, ...]]) -> Declared[Model]:
    if item.value.operations:
        return item
    operations = by_upstream.get(item.value.id, ("chat", "completions"))
    return Declared(msgspec.structs.replace(item.value, operations=operations), item.fields)


def _assemble(draft: Draft) -> World:
    currencies = {book.value.id: book.value.currency for book in draft.books}
    return World(
        operator=draft.operators[0].value,
        partners=_by_id(item.value for item in draft.partners),
        models=_by_id(item.value for item in draft.models),
        upstreams=_by_id(item.value for item in draft.upstreams),
        price_books=_by_id(item.value for item in draft.versions),
        customers=_by_id(item.value for item in draft.customers),
        contracts=_by_id(_ended(_priced_in(item.value, currencies) for item in draft.contracts)),
        projects=_by_id(item.value for item in draft.projects),
        deployments=tuple(
            sorted(
                (item.value for item in draft.deployments), key=lambda deployment: (deployment.project, deployment.id)
            )
        ),
        identity_providers=tuple(
            sorted((item.value for item in draft.identity_providers), key=lambda provider: provider.issuer)
        ),
        principals=_by_id(item.value for item in draft.principals),
        exchange_rates=_by_id(item.value for item in draft.exchange_rates),
        agreements=_by_id(item.value for item in draft.agreements),
        partner_reports=_by_id(item.value for item in draft.partner_reports),
        quotas=_by_id(item.value for item in draft.quotas),
        subscriptions=_by_id(item.value for item in draft.subscriptions),
    )


def _priced_in(contract: Contract, currencies: dict[str, str]) -> Contract:
    """The contract with the currency of its prices, where that is another one. currencies: {book: as declared}."""
    currency = currencies[contract.price_book]
    return msgspec.structs.replace(contract, price_currency=currency if currency != contract.currency else "")


def _ended(contracts: Iterable[Contract]) -> list[Contract]:
    """The contracts, each that names no end ended by its customer's next one."""
    ordered = sorted(contracts, key=lambda contract: (contract.customer, contract.effective_from))
    return [
        msgspec.structs.replace(contract, effective_to=following.effective_from)
        if following is not None and following.customer == contract.customer and contract.effective_to == END_OF_TIME
        else contract
        for contract, following in zip(ordered, [*ordered[1:], None], strict=True)
    ]


class _Identified(Protocol):
    @property
    def id(self) -> str: ...


_Entity = TypeVar("_Entity", bound=_Identified)


def _by_id(items: Iterable[_Entity]) -> tuple[_Entity, ...]:
    return tuple(sorted(items, key=lambda item: item.id))
