"""A gateway is killed while it holds budgets for five hundred requests: what it held comes to what the ledger says."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from entrepot.adapters.standings_file import FileStandings
from entrepot.compose.books import open_current_books, open_office
from entrepot.core.budgets import Standing
from entrepot.core.periods import END_OF_TIME
from entrepot.flows.administer import apply_world, issue_key
from entrepot.provisioning.world_file import read_world
from tests.support.gateway import KEY
from tests.support.gateway_processes import Installation, installed, said
from tests.support.product import eventually
from tests.support.requests import ask, chat, request_bytes

HELD = 500
TOKENS = 5
EACH = TOKENS * 10_000_000  # At 10 a million.
ROOM = 20  # Requests that fit beside those that are held.
WORLD = """
operator: {{name: Contoso, currency: USD}}
models: [{{id: m, partner: own, context_tokens: 8192}}]
upstreams:
  - {{id: up, kind: openai, base_url: "{base_url}", key_env: UP_KEY, usage_lookup: true, models: {{m: upstream-model}}}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {{model: m, meter: input_tokens, per_million: "0"}}
          - {{model: m, meter: output_tokens, per_million: "10"}}
customers: [{{id: acme, prepaid: [{{on: 2024-01-01, amount: "{amount}"}}]}}]
contracts: [{{customer: acme, effective_from: 2024-01-01, price_book: list}}]
projects: [{{id: search, customer: acme}}]
deployments: [{{id: chat, project: search, model: m}}]
"""


@pytest.fixture(params=["process", "machine"])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """counters: in the gateway's own process, or in one of the machine that outlives it."""
    with installed() as made:
        made.environment["ENTREPOT_COUNTERS"] = request.param
        if request.param == "machine":
            home = str(made.settings.home)
            said(made.start([sys.executable, "-m", "entrepot.compose.counter_process", "--home", home]))
        amount = (HELD + ROOM) * EACH
        world = read_world([("world.yaml", WORLD.format(base_url=made.base_url, amount=f"0.{amount:012}"))])
        with open_office(made.settings) as office:
            apply_world(office, world)
            issue_key(office, key=KEY, key_id="key-1", project="search", name="")
        said(made.start([sys.executable, "-m", "entrepot.compose.worker"]))
        yield made


def standing(installation: Installation) -> Standing:
    published = FileStandings(installation.settings.standings_file).load()
    assert published is not None
    return published.budgets[0]


def resolved(installation: Installation) -> Standing | None:
    """What is published once nothing is held any more."""
    found = standing(installation)
    return found if found.spent and not found.held else None


async def hold(port: int) -> list[asyncio.StreamWriter]:
    """So many streams, each in the middle of its answer."""
    body = chat(f"hi [[chunks={TOKENS} stall=2]]", stream=True, max_tokens=TOKENS)
    ways = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(HELD)))
    for _, writer in ways:
        writer.write(request_bytes(body))
    heads = await asyncio.gather(*(reader.readuntil(b"data:") for reader, _ in ways))
    assert all(head.startswith(b"HTTP/1.1 200") for head in heads)
    return [writer for _, writer in ways]


def served_until_refused(installation: Installation) -> int:
    body = chat(f"hi [[chunks={TOKENS}]]", max_tokens=TOKENS)
    for served in range(2 * HELD):
        reply = ask(installation, body)
        if reply.status == 503:  # It began while the books were busy, and does not know yet what they know.
            assert reply.error["code"] == "counters_unavailable"
            return served
        if reply.status != 200:
            assert (reply.status, reply.error["code"]) == (429, "insufficient_quota")
            return served
    raise AssertionError("it was never refused")


def test_what_a_killed_gateway_held_comes_to_what_the_ledger_says(installation: Installation) -> None:
    gateway = installation.start_gateway()

    async def kill() -> None:
        writers = await hold(installation.port)
        os.kill(gateway.pid, signal.SIGKILL)
        for writer in writers:
            writer.close()

    asyncio.run(kill())
    gateway.communicate()
    installation.start_gateway()
    found = eventually(lambda: resolved(installation))
    with open_current_books(installation.settings) as books:
        spent = sum(event.meters["output_tokens"] for event in books.events(0, END_OF_TIME)) * EACH // TOKENS
    assert found.spent == spent > 0
    left = found.limit.units - spent
    served = 0

    def all_served() -> bool:
        """Until the gateway has taken up what was published, it refuses too early, and never too late."""
        nonlocal served
        served += served_until_refused(installation)
        return served >= left // EACH

    eventually(all_served)
    assert served == left // EACH
    eventually(lambda: standing(installation).spent == spent + served * EACH)
    assert served_until_refused(installation) == 0
    print(json.dumps({"resolved": HELD, "spent_pico": spent, "left_pico": left}))
