"""Tiers of service and batches, from the world file over the gateway and the usage log to the line of an invoice."""

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.gateway_requests import GatewayRequests
from entrepot.adapters.job_store import SqliteJobStore
from entrepot.cli.main import main
from entrepot.core.identifiers import INTERNAL_PREFIX, key_digest
from entrepot.core.jobs import Batch
from entrepot.core.log_records import UsageRecorded
from entrepot.core.snapshot import GatewaySnapshot
from entrepot.core.tenancy import ApiKey
from entrepot.core.turns import at_once
from entrepot.flows.run_batches import Desk, run_batch
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.support.gateway import KEY, Gateway, eventually, running_gateway
from tests.support.requests import ask, chat

TOKEN = INTERNAL_PREFIX + "of-the-tests"
# Per million, in and out; whole prices, so that a token of each is a figure of its own.
PRICES = {"default": ("10", "100"), "priority": ("20", "200"), "flex": ("5", "50"), "batch": ("4", "40")}

WORLD = """\
operator: {{name: Meridian Cloud, currency: USD}}
models:
  - id: m
    partner: own
    context_tokens: 100000
    service_tiers: {{priority: {{tokens_per_minute_free: {free}}}, flex: {{busy_percent_max: 100}}}}
upstreams: [{{id: up, kind: openai, base_url: "{base_url}", key_env: UP_KEY, models: [m], max_concurrent: 8}}]
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
{prices}
customers: [{{id: acme}}]
contracts: [{{customer: acme, effective_from: 2024-01-01, price_book: list}}]
projects: [{{id: search, customer: acme}}]
deployments:
  - {{id: chat, project: search, model: m}}
  - {{id: dear, project: search, model: m, service_tier: priority}}
"""


class Shop:
    """A gateway that serves what a world file says, and the bill of what it recorded."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self.gateway = gateway
        self.folder = folder
        self.world = folder / "world.yaml"

    def open(self, free: int = 1_000_000) -> GatewaySnapshot:
        rows = [
            f'          - {{model: m, meter: {meter}, tier: {tier}, per_million: "{price}"}}'
            for tier, prices in PRICES.items()
            for meter, price in zip(("input_tokens", "output_tokens"), prices, strict=True)
        ]
        base_url = self.gateway.upstream.base_url
        self.world.write_text(WORLD.format(base_url=base_url, prices="\n".join(rows), free=free))
        key = ApiKey("key-1", key_digest(KEY), "search", "the tests'", 0)
        compiled = compile_snapshot(read_world([("w", self.world.read_text())]), (key,), {}, version=1, at=0)

        async def adopt() -> list[str]:
            return at_once(self.gateway.flow.adopting(compiled, key_digest(TOKEN)))

        assert self.gateway.run(adopt()) == []
        return compiled

    def bill(self, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], tuple[str, str]]:
        """{(meter, tier): (quantity, unit price)} of the lines of the invoice, as `entrepot bill` prints it."""
        usage = self.folder / "usage.jsonl"
        usage.write_text("".join(_record(record) for record in self.gateway.of(UsageRecorded)))
        capsys.readouterr()
        assert main(["bill", "--world", str(self.world), "--usage", str(usage), "--period", "2024-03", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
        assert (printed["quarantine"], printed["ledger"]["balanced"]) == ([], True)
        [invoice] = printed["invoices"]
        return {(line["meter"], line["tier"]): (line["quantity"], line["unit_price"]) for line in invoice["lines"]}


def _record(record: UsageRecorded) -> str:
    """As `entrepot usage export` writes it, of a month that is over."""
    event = record.event
    told: dict[str, Any] = {name: getattr(event, name) for name in ("id", "customer", "project", "deployment", "model")}
    told |= {"tier": event.tier, "meters": event.meters, "source": event.source}
    return json.dumps(told | {"admitted_at": "2024-03-05T08:00:00Z"}) + "\n"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with running_gateway(published=False) as gateway:
        yield Shop(gateway, tmp_path)


def say(shop: Shop, prompt: str, model: str = "chat", **fields: Any) -> None:
    reply = ask(shop.gateway, chat(prompt, model=model, **fields))
    assert reply.status == 200, reply.body


def recorded(shop: Shop, number: int) -> None:
    eventually(lambda: len(shop.gateway.of(UsageRecorded)) == number)


def test_each_tier_is_billed_at_its_price(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.open()
    say(shop, "a [[chunks=10]]")
    say(shop, "a b [[chunks=20]]", service_tier="priority")
    say(shop, "a b c [[chunks=30]]", service_tier="flex", stream=True)
    say(shop, "a b c d [[chunks=40]]", model="dear", stream=True)
    say(shop, "a b c d e [[chunks=50]]", model="dear", service_tier="default")
    recorded(shop, 5)
    prompt = {
        record.event.meters["output_tokens"]: record.event.meters["input_tokens"]
        for record in shop.gateway.of(UsageRecorded)
    }
    assert shop.bill(capsys) == {
        ("input_tokens", "default"): (str(prompt[10] + prompt[50]), "0.00001"),
        ("output_tokens", "default"): ("60", "0.0001"),
        ("input_tokens", "priority"): (str(prompt[20] + prompt[40]), "0.00002"),
        ("output_tokens", "priority"): ("60", "0.0002"),
        ("input_tokens", "flex"): (str(prompt[30]), "0.000005"),
        ("output_tokens", "flex"): ("30", "0.00005"),
    }


def test_what_is_downgraded_is_billed_at_the_default_price(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.open(free=0)
    say(shop, "a [[chunks=10]]", service_tier="priority")
    recorded(shop, 1)
    assert {tier for _, tier in shop.bill(capsys)} == {"default"}


class Published:
    """What gateways serve from."""

    def __init__(self, snapshot: GatewaySnapshot) -> None:
        self.snapshot = snapshot

    def publish(self, snapshot: GatewaySnapshot) -> None:
        raise AssertionError

    def load(self) -> GatewaySnapshot:
        return self.snapshot


def run(shop: Shop, compiled: GatewaySnapshot, *bodies: bytes) -> Batch:
    """A batch of these requests, at its end."""
    minted = count()
    store = SqliteJobStore(shop.folder / "jobs")
    desk = Desk(store, Published(compiled), SystemClock(), lambda prefix: f"{prefix}{next(minted)}")
    lines = [
        {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": json.loads(body)}
        for number, body in enumerate(bodies)
    ]
    file = desk.upload("search", "in.jsonl", "batch", "".join(json.dumps(line) + "\n" for line in lines).encode())
    batch = desk.create("search", file.id, "/v1/chat/completions", "24h")

    async def ended() -> Batch:
        async with aiohttp.ClientSession() as session:
            return await run_batch(desk, GatewayRequests(session, shop.gateway.url, TOKEN), "search", batch)

    return asyncio.run(ended())


def test_a_batch_is_billed_at_the_price_of_batches(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Also at a deployment whose requests are served at priority where they do not say."""
    compiled = shop.open()
    batch = run(
        shop,
        compiled,
        *(chat("a [[chunks=10]]", model="dear"), chat("a [[chunks=20]]", model="dear", service_tier="auto")),
    )
    assert (batch.status, batch.request_counts.completed) == ("completed", 2)
    recorded(shop, 2)
    lines = shop.bill(capsys)
    assert lines.keys() == {("input_tokens", "batch"), ("output_tokens", "batch")}
    assert lines["output_tokens", "batch"] == ("30", "0.00004")
    assert lines["input_tokens", "batch"][1] == "0.000004"


def test_requests_of_a_batch_choose_no_tier(shop: Shop) -> None:
    compiled = shop.open()
    batch = run(shop, compiled, chat("a", service_tier="flex"))
    assert (batch.status, batch.request_counts.failed) == ("completed", 1)
    assert shop.gateway.of(UsageRecorded) == []
