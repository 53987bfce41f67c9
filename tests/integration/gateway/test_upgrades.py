"""A deployment is upgraded while its gateway runs: nobody does anything, and the clock passes the date."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from entrepot.cli.main import main
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.periods import SECOND, format_instant, parse_instant
from entrepot.core.tenancy import ApiKey
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import KEY, Gateway, eventually, running_gateway
from tests.support.memory_log import ManualClock
from tests.support.requests import AZURE, Reply, ask, chat

DEFAULT, RETIRED = parse_instant("2024-03-10"), parse_instant("2024-03-20")
MOMENT = SECOND // 1000

WORLD = """\
operator: {name: Meridian Cloud, currency: USD}
models:
  - {id: maker-2, partner: own, context_tokens: 8192, successor: {model: maker-3, from: 2024-03-10},
     stages: [{stage: deprecated, from: 2024-03-05}, {stage: retired, from: 2024-03-20}]}
  - {id: maker-3, partner: own, context_tokens: 8192}
upstreams:
  - {id: old, kind: openai, base_url: "OLD", key_env: UP_KEY, models: {maker-2: upstream-2}}
  - {id: new, kind: openai, base_url: "NEW", key_env: UP_KEY, models: {maker-3: upstream-3}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: maker-2, meter: input_tokens, each: "1"}
          - {model: maker-2, meter: output_tokens, each: "1"}
          - {model: maker-2, meter: provisioned_unit_hours, each: "1"}
          - {model: maker-3, meter: input_tokens, each: "0.01"}
          - {model: maker-3, meter: output_tokens, each: "0.01"}
          - {model: maker-3, meter: provisioned_unit_hours, each: "0.5"}
customers: [{id: acme, BUDGET}]
contracts: [{customer: acme, effective_from: 2024-01-01, price_book: list}]
projects: [{id: search, customer: acme}]
deployments:
  - {id: eager, project: search, model: maker-2, upgrade: on_new_default}
  - {id: chat, project: search, model: maker-2}
  - {id: pinned, project: search, model: maker-2, upgrade: never}
  - {id: units, project: search, model: maker-2, kind: provisioned, units: [{from: 2024-03-01, units: 15}]}
  - {id: moved, project: search, model: maker-2, kind: provisioned, units: [{from: 2024-03-01, units: 15}],
     upgrade: on_new_default}
"""


class Served:
    """The gateway of the world, its clock, and the two upstreams."""

    def __init__(self, gateway: Gateway, clock: ManualClock, new: ScriptedUpstream) -> None:
        self.gateway, self.clock, self.old, self.new = gateway, clock, gateway.upstream, new
        self.world = WORLD.replace("OLD", gateway.upstream.base_url).replace("NEW", new.base_url)

    def begin(self, budget: str = "name: Acme") -> None:
        self.world = self.world.replace("BUDGET", budget)
        world = read_world([("world.yaml", self.world)])
        key = ApiKey("key-1", key_digest(KEY), "search", "", 0)
        self.gateway.adopt(compile_snapshot(world, [key], {}, version=1, at=0))

    def say(self, deployment: str, at: int, *, stream: bool = False) -> Reply:
        self.clock.at = at
        return ask(self.gateway, chat("hello [[chunks=3]]", model=deployment, stream=stream))

    def models(self) -> list[str]:
        """Of the usage that was recorded, in the order of the log."""
        return [record.event.model for record in self.gateway.of(UsageRecorded)]


@pytest.fixture
def served() -> Iterator[Served]:
    clock = ManualClock(DEFAULT)
    with running_gateway(published=False, clock=clock) as gateway:
        yield Served(gateway, clock, gateway.another_upstream())


@pytest.mark.parametrize(("deployment", "upgraded_at"), [("eager", DEFAULT), ("chat", RETIRED), ("moved", DEFAULT)])
def test_the_clock_passes_the_date_and_the_successor_answers(served: Served, deployment: str, upgraded_at: int) -> None:
    served.begin()
    before = served.say(deployment, upgraded_at - 1)
    assert (before.status, "openai-model" in before.headers, len(served.new.served)) == (200, False, 0)
    assert before.headers["sunset"] == "Wed, 20 Mar 2024 00:00:00 GMT"
    for number, stream in enumerate((False, True), 1):
        after = served.say(deployment, upgraded_at, stream=stream)
        assert (after.status, after.headers["openai-model"]) == (200, "maker-3")
        assert not {"deprecation", "sunset"} & after.headers.keys()
        assert len(served.new.served) == number
    assert [item.model for item in served.old.served.values()] == ["upstream-2"]
    assert {item.model for item in served.new.served.values()} == {"upstream-3"}
    eventually(lambda: len(served.models()) == 3)
    assert served.models() == ["maker-2", "maker-3", "maker-3"]
    assert [record.model for record in served.gateway.of(Admitted)] == served.models()


@pytest.mark.parametrize("deployment", ["pinned", "units"])
def test_what_is_not_upgraded_is_refused_from_the_date_on(served: Served, deployment: str) -> None:
    served.begin()
    assert served.say(deployment, RETIRED - 1).status == 200
    refused = served.say(deployment, RETIRED)
    assert (refused.status, refused.error["code"]) == (410, "model_retired")
    assert "successor is maker-3" in refused.error["message"]
    azure = ask(served.gateway, chat("hello"), path=AZURE.format(deployment), headers={"api-key": KEY})
    assert (azure.status, azure.error["code"]) == (410, "ModelRetired")
    assert served.new.served == {}


def test_a_stream_that_began_before_the_date_ends_as_it_began(served: Served) -> None:
    served.begin()
    reply = served.say("chat", RETIRED - MOMENT, stream=True)
    assert reply.events()[-1] == "[DONE]"
    assert served.models() == ["maker-2"]


def listed(served: Served, at: int, path: str = "/v1/models") -> dict[str, dict[str, Any]]:
    served.clock.at = at
    return {item["id"]: item for item in ask(served.gateway, path=path).json()["data"]}


def test_lists_of_models_say_what_was_and_will_be(served: Served) -> None:
    served.begin()
    azure = "/openai/models?api-version=2024-10-21"
    now = listed(served, DEFAULT - 1, azure)
    assert now["eager"]["entrepot"] == {
        "model": "maker-2",
        "upgrade": {"model": "maker-3", "at": DEFAULT // SECOND},
    }
    assert now["chat"]["entrepot"]["upgrade"]["at"] == RETIRED // SECOND
    assert "entrepot" not in now["pinned"]
    then = listed(served, RETIRED, azure)
    assert sorted(then) == ["chat", "eager", "moved"]
    assert then["chat"]["model"] == "maker-3"
    assert (then["chat"]["lifecycle_status"], "deprecation" in then["chat"]) == ("generally-available", False)
    assert listed(served, RETIRED)["chat"] == {
        "id": "chat",
        "object": "model",
        "created": 0,
        "owned_by": "Meridian Cloud",
        "entrepot": {"model": "maker-3", "upgraded_from": "maker-2"},
    }


def test_usage_costs_what_the_model_costs_that_served_it(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.begin()
    for at in (RETIRED - 1, RETIRED):
        assert served.say("chat", at).status == 200
    eventually(lambda: len(served.models()) == 2)
    (tmp_path / "world.yaml").write_text(served.world)
    (tmp_path / "usage.jsonl").write_text("".join(map(_written, served.gateway.of(UsageRecorded))))
    command = ["bill", "--world", str(tmp_path / "world.yaml"), "--usage", str(tmp_path / "usage.jsonl")]
    assert main([*command, "--period", "2024-03", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["quarantine"] == []
    (invoice,) = printed["invoices"]
    cost = {(line["model"], line["meter"]): line["exact"] for line in invoice["lines"]}
    tokens = {
        (event.model, meter): quantity
        for event in (record.event for record in served.gateway.of(UsageRecorded))
        for meter, quantity in event.meters.items()
        if quantity
    }
    assert {model for model, _ in tokens} == {"maker-2", "maker-3"}
    for (model, meter), quantity in tokens.items():
        assert float(cost[model, meter]) == pytest.approx(quantity * {"maker-2": 1, "maker-3": 0.01}[model])
    # 15 units all March that stay as they are, and 15 that become the successor's after 9 days of 31.
    hours = {"maker-2": 15 * 24 * (31 + 9), "maker-3": 15 * 24 * 22}
    for model, each in (("maker-2", 1), ("maker-3", 0.5)):
        assert float(cost[model, "provisioned_unit_hours"]) == hours[model] * each


def _written(record: UsageRecorded) -> str:
    event = record.event
    return (
        json.dumps(
            {
                "id": event.id,
                "admitted_at": format_instant(event.admitted_at),
                "finished_at": format_instant(event.finished_at),
                **{name: getattr(event, name) for name in ("customer", "project", "deployment", "model", "tier")},
                "meters": event.meters,
                "source": event.source,
                "corrects": None,
            }
        )
        + "\n"
    )


def test_a_budget_holds_the_price_of_the_model_that_serves(served: Served) -> None:
    served.begin('budget: {total: "5"}')  # Three tokens and a prompt of maker-2 are more, of maker-3 a hundredth.
    body = chat("hello [[chunks=3]]", max_tokens=3)
    served.clock.at = RETIRED - 1
    refused = ask(served.gateway, body)
    assert (refused.status, refused.error["code"]) == (429, "insufficient_quota")
    served.clock.at = RETIRED
    assert ask(served.gateway, body).status == 200
