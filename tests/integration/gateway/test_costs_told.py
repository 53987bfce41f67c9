"""What a request cost, told to clients that ask for timings, where its customer's world says that it may be."""

import re
from collections.abc import Iterator

import pytest

from entrepot.core.identifiers import key_digest
from entrepot.core.tenancy import ApiKey
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.support.gateway import KEY, Gateway, running_gateway
from tests.support.requests import Reply, ask, chat

WORLD = """\
operator: {name: Meridian Cloud, currency: USD}
models:
  - {id: maker-2, partner: own, context_tokens: 8192}
  - {id: by-units, partner: own, context_tokens: 8192}
upstreams: [{id: up, kind: openai, base_url: "URL", key_env: UP_KEY, models: [maker-2, by-units]}]
price_books:
  - id: list
    currency: EUR
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: maker-2, meter: input_tokens, per_million: "3"}
          - {model: maker-2, meter: output_tokens, per_million: "15"}
          - {model: by-units, meter: provisioned_unit_hours, each: "1"}
customers: [{id: acme, CUSTOMER}]
contracts:
  - {customer: acme, effective_from: 2024-01-01, price_book: list, currency: EUR,
     terms: [{kind: discount, percent: "50"}]}
projects: [{id: search, customer: acme}]
deployments:
  - {id: chat, project: search, model: maker-2}
  - {id: units, project: search, model: by-units, kind: provisioned, units: 15}
"""
ASKING = {"Authorization": f"Bearer {KEY}", "x-entrepot-timing": "1"}


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        yield running


def serve(gateway: Gateway, customer: str) -> None:
    text = WORLD.replace("URL", gateway.upstream.base_url).replace("CUSTOMER", customer)
    key = ApiKey("key-1", key_digest(KEY), "search", "", 0)
    gateway.adopt(compile_snapshot(read_world([("world.yaml", text)]), [key], {}, version=1, at=0))


def say(gateway: Gateway, deployment: str = "chat", *, stream: bool = False) -> Reply:
    body = chat("two words [[chunks=4]]", model=deployment, stream=stream, max_tokens=10)
    reply = ask(gateway, body, headers=ASKING)
    assert reply.status == 200, reply.body
    return reply


def cost(text: str) -> list[str]:
    return re.findall(r'cost;desc="([^"]*)"', text)


def test_an_answer_says_what_it_cost_under_its_contract(gateway: Gateway) -> None:
    serve(gateway, "show_costs: true")
    # Half of 2 x 3 and 4 x 15 millionths.
    assert cost(say(gateway).headers["server-timing"]) == ["0.000033 EUR"]
    streamed = say(gateway, stream=True)
    assert cost(streamed.headers["server-timing"]) == []
    assert cost(streamed.body.decode()) == ["0.000033 EUR"]
    assert "server-timing" not in ask(gateway, chat("hi")).headers


def test_without_the_word_of_the_world_it_says_nothing(gateway: Gateway) -> None:
    serve(gateway, 'budget: {total: "1"}')
    assert cost(say(gateway).headers["server-timing"]) == []


def test_what_units_serve_costs_nothing_beside_them_and_takes_nothing_of_a_budget(gateway: Gateway) -> None:
    serve(gateway, 'show_costs: true, budget: {total: "0.000001"}')
    assert cost(say(gateway, "units").headers["server-timing"]) == ["0 EUR"]
    assert ask(gateway, chat("two words", max_tokens=10)).status == 429
