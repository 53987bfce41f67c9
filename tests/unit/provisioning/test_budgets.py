"""Budgets of a world file: what is read, what is refused, what a gateway gets of them."""

import pytest

from entrepot.core.budgets import Budget, TopUp
from entrepot.core.errors import BadInput
from entrepot.core.money import parse_pico
from entrepot.core.periods import parse_instant
from entrepot.core.snapshot import decoding, encode_snapshot
from entrepot.core.tenancy import ApiKey
from entrepot.core.turns import at_once
from entrepot.core.world import World
from entrepot.provisioning.budgets import owned_budgets, parse_budget
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of

CUSTOMER = "{id: acme, name: Acme"
PROJECT = "{id: search, customer: acme"


def read(old: str, new: str) -> World:
    return read_world([("world.yaml", changed(old, new))])


def test_a_budget_is_read() -> None:
    more = "monthly: '50000.25', mode: soft, thresholds: [90, 10], webhook: 'https://a.example/b', email: [a@b.example]"
    world = read(PROJECT, f"{PROJECT}, budget: {{{more}}}")
    (project,) = (item for item in world.projects if item.id == "search")
    assert project.budget == Budget(
        parse_pico("50000.25"), "money", "monthly", "soft", (10, 90), "https://a.example/b", ("a@b.example",)
    )
    world = read(
        CUSTOMER, f"{CUSTOMER}, budget: {{total: 5000, in: tokens}}, prepaid: [{{on: 2026-11-02, amount: '5'}}]"
    )
    (customer,) = (item for item in world.customers if item.id == "acme")
    assert customer.budget == Budget(5000, "tokens", "total", "hard")
    assert customer.prepaid == (TopUp(parse_instant("2026-11-02"), parse_pico("5")),)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("{mode: hard}", "either monthly or total"),
        ("{monthly: '1', total: '1'}", "either monthly or total"),
        ("{monthly: '-1'}", "cannot be negative"),
        ("{monthly: '1.5', in: tokens}", "whole number"),
        ("{monthly: '1', in: bytes}", "not one of money, tokens"),
        ("{monthly: '1', mode: firm}", "not one of hard, soft"),
        ("{monthly: '1', thresholds: [0]}", "whole number of per cent"),
        ("{monthly: '1', webhook: 'ftp://x'}", "must be like https"),
        ("{monthly: '1', email: [nobody]}", "must be like billing@example.org"),
        ("{monthly: '1', weekly: '1'}", "unknown key 'weekly'"),
    ],
)
def test_a_wrong_budget_is_refused(budget: str, message: str) -> None:
    (fault,) = faults_of(changed(PROJECT, f"{PROJECT}, budget: {budget}"))
    assert message in fault


def test_money_needs_one_currency() -> None:
    later = """
  - {customer: acme, effective_from: 2025-01-01, price_book: euros, currency: EUR}
"""
    books = "  - {id: euros, currency: EUR, versions: [{effective_from: 2024-01-01, prices: []}]}\n"
    text = changed(PROJECT, f"{PROJECT}, budget: {{monthly: '1'}}")
    text = changed("contracts:\n", f"contracts:{later}", changed("price_books:\n", f"price_books:\n{books}", text))
    assert any("a budget in money needs one currency" in fault for fault in faults_of(text))


def test_a_gateway_gets_what_is_hard_and_the_prices_to_hold_it_by() -> None:
    world = read(PROJECT, f"{PROJECT}, budget: {{monthly: '5'}}")
    keys = [
        ApiKey("k1", "d1", "search", "", 0, budget=parse_budget("total=7 tokens")),
        ApiKey("k2", "d2", "search", "", 0, budget=parse_budget("total=7 soft")),
        ApiKey("k3", "d3", "search", "", 0, revoked_at=5, budget=parse_budget("total=7")),
    ]
    assert [owned.id for owned in owned_budgets(world, keys)] == [
        "project/search/monthly/money",
        "key/k1/total/tokens",
        "key/k2/total/money",
    ]
    snapshot = compile_snapshot(world, keys, {}, version=1, at=0)
    assert at_once(decoding(encode_snapshot(snapshot).splitlines())) == snapshot
    assert [owned.id for owned in snapshot.budgets] == ["project/search/monthly/money", "key/k1/total/tokens"]
    for deployment in snapshot.projects["search"].deployments.values():
        assert {price.model for prices in deployment.prices for price in prices.version.prices} == {deployment.model}
    plain = compile_snapshot(read_world([("world.yaml", SMALL)]), keys[1:], {}, version=1, at=0)
    assert plain.budgets == ()
    assert not any(item.prices for item in plain.projects["search"].deployments.values())


@pytest.mark.parametrize("text", ["", "5", "weekly=5", "monthly=", "monthly=-5", "monthly=5 euros", "total=1.5 tokens"])
def test_a_budget_on_the_command_line_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(BadInput, match="is not a budget such as"):
        parse_budget(text or "x")
