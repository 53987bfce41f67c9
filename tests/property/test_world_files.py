"""World files, generated: what is declared is read back exactly, and a fault is found on its line."""

from datetime import date
from itertools import pairwise
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.core.errors import WorldRejected
from entrepot.core.money import format_pico
from entrepot.core.prices import PRICE_QUANTITY
from entrepot.core.world import World, decode_world, encode_world
from entrepot.provisioning.changes import differences
from entrepot.provisioning.metered import contract_conflicts, price_conflicts, removal_conflicts
from entrepot.provisioning.world_file import read_world

names = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
unit_pico = st.integers(min_value=0, max_value=10**13)
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Chatham"])
printable = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=20)
dates = st.dates(min_value=date(2000, 1, 1), max_value=date(2060, 1, 1))


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """World files as documents, all of them good."""
    models = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    customers = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    starts = draw(st.lists(dates, min_size=1, max_size=3, unique=True))
    return {
        "operator": {"name": draw(names), "currency": "USD"},
        "models": [{"id": model, "partner": "own", "context_tokens": draw(st.integers(1, 10**6))} for model in models],
        "upstreams": [{"id": "local", "kind": "llama_cpp", "models": models}],
        "price_books": [
            {
                "id": "list",
                "versions": [
                    {
                        "effective_from": str(start),
                        "prices": [
                            {"model": model, "meter": meter, "per_million": _per_million(draw(unit_pico))}
                            for model in models
                            for meter in ("input_tokens", "output_tokens")
                        ],
                    }
                    for start in starts
                ],
            }
        ],
        "customers": [{"id": customer, "name": draw(printable)} for customer in customers],
        "contracts": [
            {"customer": customer, "effective_from": str(start), "price_book": "list", "zone": draw(zones)}
            for customer in customers
            for start in draw(st.lists(dates, min_size=1, max_size=3, unique=True))
        ],
        "projects": [{"id": f"p-{customer}", "customer": customer} for customer in customers],
        "deployments": [
            {"id": f"d-{model}", "project": f"p-{customer}", "model": model}
            for customer in customers
            for model in models
        ],
    }


def _per_million(pico: int) -> str:
    return format_pico(pico * PRICE_QUANTITY)


def written(document: dict[str, Any], *, flow: bool = False) -> str:
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=flow)
    assert isinstance(text, str)
    return text


def read(document: dict[str, Any], *, flow: bool = False) -> World:
    return read_world([("world.yaml", written(document, flow=flow))])


def faults_of(name: str, text: str) -> list[str]:
    try:
        read_world([(name, text)])
    except WorldRejected as rejected:
        return rejected.message.split("\n")
    return []


@given(documents())
@settings(max_examples=60)
def test_what_is_declared_is_read_back_exactly(document: dict[str, Any]) -> None:
    world = read(document)
    assert {customer.id: customer.name for customer in world.customers} == {
        customer["id"]: customer["name"] for customer in document["customers"]
    }
    for version, declared in zip(
        sorted(world.price_books, key=lambda version: version.effective_date),
        sorted(document["price_books"][0]["versions"], key=lambda version: str(version["effective_from"])),
        strict=True,
    ):
        assert {(price.model, price.meter): _per_million(price.unit_pico) for price in version.prices} == {
            (price["model"], price["meter"]): price["per_million"] for price in declared["prices"]
        }
    assert decode_world(encode_world(world)) == world


@given(documents())
@settings(max_examples=40)
def test_how_it_is_written_does_not_matter(document: dict[str, Any]) -> None:
    assert read(document, flow=True) == read(document)
    reordered = {key: document[key] for key in reversed(document)}
    halves = (
        {key: reordered[key] for key in list(reordered)[:4]},
        {key: reordered[key] for key in list(reordered)[4:]},
    )
    assert read_world([("a", written(halves[0])), ("b", written(halves[1]))]) == read(document)


@given(documents())
@settings(max_examples=40)
def test_the_contracts_of_a_customer_never_overlap_and_leave_no_gap(document: dict[str, Any]) -> None:
    world = read(document)
    for customer in world.customers:
        terms = sorted(
            (contract for contract in world.contracts if contract.customer == customer.id),
            key=lambda contract: contract.effective_from,
        )
        assert all(one.effective_to == other.effective_from for one, other in pairwise(terms))


@given(documents(), st.data())
@settings(max_examples=60)
def test_a_planted_fault_is_found_on_its_line(document: dict[str, Any], data: st.DataObject) -> None:
    lines = written(document).splitlines()
    at = data.draw(st.sampled_from([number for number, line in enumerate(lines) if ": " in line]))
    indent = len(lines[at]) - len(lines[at].lstrip(" -"))
    lines.insert(at + 1, " " * indent + "zzz-unknown: 1")
    (fault,) = faults_of("world.yaml", "\n".join(lines))
    assert fault.startswith(f"world.yaml:{at + 2}: ")
    assert "has an unknown key 'zzz-unknown'" in fault


@given(st.text(max_size=300))
def test_any_text_is_a_world_or_has_faults_with_lines(text: str) -> None:
    assert all(fault.startswith("w:") for fault in faults_of("w", text))


@given(documents(), documents(), st.integers(min_value=0, max_value=2**52))
@settings(max_examples=40)
def test_a_world_never_conflicts_with_itself_and_differs_from_others_as_they_do_from_it(
    one: dict[str, Any], other: dict[str, Any], latest: int
) -> None:
    before, after = read(one), read(other)
    for check in (contract_conflicts, price_conflicts, removal_conflicts):
        assert list(check(before, before, lambda _: latest)) == []
        assert list(check(before, after, lambda _: None)) == []
    there = {(item.kind, item.id): item.change for item in differences(before, after)}
    back = {(item.kind, item.id): item.change for item in differences(after, before)}
    turned = {"add": "remove", "remove": "add", "change": "change"}
    assert back == {key: turned[change] for key, change in there.items()}
