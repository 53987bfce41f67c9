"""Partners' files through the commands: OpenAI's pages, Azure's export, any table; into the log, beside our counts."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from entrepot.cli.main import main
from entrepot.compose.books import open_log
from entrepot.compose.settings import load_settings
from entrepot.core.log_records import AttemptEnded, LogRecord, ServedAt, UsageRecorded
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, HOUR, SECOND, parse_instant
from entrepot.core.usage_event import UsageEvent

MARCH = parse_instant("2024-03-01")
DAYS = 31
WORLD = """
operator: {name: Contoso Cloud, currency: USD}
partners:
  - id: openai
    name: OpenAI
    charges:
      upstreams: {key_a: east, key_b: west, oai-east: east}
      items:
        "gpt-4-0613, input": gpt-4/input_tokens
        "gpt-4-0613, output": gpt-4/output_tokens
        "gpt 4 Inp": gpt-4/input_tokens
      price_book: paid
      tolerances: [{of: output_tokens, units: 7}]
models:
  - {id: gpt-4, version: "0613", partner: openai, context_tokens: 8192, stage: general}
upstreams:
  - {id: east, kind: openai, base_url: "http://127.0.0.1:9/v1", models: {gpt-4: gpt-4-0613}}
  - {id: west, kind: openai, base_url: "http://127.0.0.1:9/v1", models: {gpt-4: gpt-4-0613}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: gpt-4, meter: input_tokens, per_million: "40"}
          - {model: gpt-4, meter: output_tokens, per_million: "80"}
  - id: paid
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: gpt-4, meter: input_tokens, per_million: "30"}
          - {model: gpt-4, meter: output_tokens, per_million: "60"}
          - {model: gpt-4, meter: input_tokens, tier: flex, per_million: "15"}
          - {model: gpt-4, meter: output_tokens, tier: flex, per_million: "30"}
customers: [{id: acme, name: Acme}]
contracts: [{customer: acme, effective_from: 2024-01-01, price_book: list, currency: USD}]
projects: [{id: search, customer: acme}]
deployments: [{id: chat, project: search, model: gpt-4}]
"""

Run = Callable[..., tuple[int, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command on a data directory with a world and a month of usage at two upstreams, and reads its JSON."""
    monkeypatch.setenv("ENTREPOT_HOME", str(tmp_path / "var"))
    (tmp_path / "world.yaml").write_text(WORLD)

    def running(*arguments: str) -> tuple[int, Any]:
        capsys.readouterr()
        status = main([*arguments, "--json"])
        said = capsys.readouterr()
        return status, json.loads(said.out) if said.out else said.err

    assert running("apply", str(tmp_path / "world.yaml"))[0] == 0
    with open_log(load_settings({"ENTREPOT_HOME": str(tmp_path / "var")}, {})) as log:
        log.append([UsageRecorded(event) for event in used()])
    return running


def used() -> list[UsageEvent]:
    """Each hour of March a request at each upstream; the last of each day ends behind midnight."""
    return [
        UsageEvent(
            id=f"{upstream}-{hour}",
            admitted_at=MARCH + hour * HOUR + HOUR - SECOND,
            finished_at=MARCH + hour * HOUR + HOUR + SECOND,
            customer="acme",
            project="search",
            deployment="chat",
            model="gpt-4",
            tier="default",
            meters={"cached_input_tokens": 0, "input_tokens": 1000 + hour, "output_tokens": 10, "reasoning_tokens": 5},
            outcome="stop",
            upstream=upstream,
        )
        for hour in range(24 * DAYS)
        for upstream in ("east", "west")
    ]


def usage_page(leak: int = 0, days: int = DAYS) -> dict[str, Any]:
    """OpenAI's usage by day, model and key; requests counted where they end. leak: tokens more on day 12 with key_b."""
    buckets = []
    for day in range(days):
        of_day = [event for event in used() if (event.finished_at - MARCH) // DAY == day]
        results = [
            {
                "object": "organization.usage.completions.result",
                "input_tokens": sum(event.meters["input_tokens"] for event in of_day if event.upstream == upstream)
                + (leak if day == 11 and key == "key_b" else 0),
                "input_cached_tokens": 0,
                "output_tokens": sum(15 for event in of_day if event.upstream == upstream),
                "num_model_requests": len(of_day) // 2,
                "model": "gpt-4-0613",
                "api_key_id": key,
                "project_id": "proj_1",
            }
            for key, upstream in (("key_a", "east"), ("key_b", "west"))
        ]
        starts = (MARCH + day * DAY) // SECOND
        buckets.append({"object": "bucket", "start_time": starts, "end_time": starts + 86400, "results": results})
    return {"object": "page", "data": buckets, "has_more": False, "next_page": None}


def write(path: Path, document: object) -> str:
    path.write_text(json.dumps(document))
    return str(path)


def test_a_month_that_agrees_and_one_with_a_leak(run: Run, tmp_path: Path) -> None:
    assert "was imported" in run("reconcile", "partner", "openai", "2024-03")[1]
    page = write(tmp_path / "usage.json", usage_page())
    status, done = run("reconcile", "import", "openai", page)
    assert (status, done["rows"], done["known"]) == (0, 124, 0)
    assert (done["days"][0], done["days"][-1]) == ("2024-03-01", "2024-03-31")
    assert run("reconcile", "import", "openai", page)[1]["known"] == 124
    status, found = run("reconcile", "partner", "openai", "2024-03")
    assert (status, found["agrees"], found["counted_at"], found["findings"]) == (0, True, "end", [])
    leaking = write(tmp_path / "again.json", usage_page(leak=3000))
    assert run("reconcile", "import", "openai", leaking)[0] == 0
    status, found = run("reconcile", "partner", "openai", "2024-03")
    assert status == 1
    (one,) = found["findings"]
    assert (one["kind"], one["day"], one["model"], one["upstream"]) == ("more", "2024-03-12", "gpt-4", "west")
    assert (one["meter"], one["difference"]) == ("input_tokens", "3000")
    assert 1700 < int(one["lasting"]) < 3000  # A request lies at each midnight.
    assert parse_pico(one["worth"]) == int(one["lasting"]) * 30 * 10**6
    assert parse_pico(found["worth"]) == parse_pico(one["worth"])
    assert run("verify")[1]["equal"]


def test_costs_beside_the_agreed_price(run: Run, tmp_path: Path) -> None:
    """Cents that were rounded are no finding; a line at another price is."""
    usage = usage_page()
    costs: list[dict[str, Any]] = []
    for day, bucket in enumerate(usage["data"]):
        tokens = sum(result["input_tokens"] for result in bucket["results"])
        written = sum(result["output_tokens"] for result in bucket["results"])
        dearer = 2 if day == 4 else 1
        results = [
            _cost("gpt-4-0613, input", round(tokens * 30 * dearer / 10**6, 2)),
            _cost("gpt-4-0613, output", round(written * 60 / 10**6, 2)),
        ]
        costs.append({**bucket, "results": results})
    run("reconcile", "import", "openai", write(tmp_path / "usage.json", usage))
    run("reconcile", "import", "openai", write(tmp_path / "costs.json", {**usage, "data": costs}))
    status, found = run("reconcile", "partner", "openai", "2024-03")
    assert status == 1
    (one,) = found["findings"]
    assert (one["kind"], one["day"], one["meter"], one["upstream"]) == ("price", "2024-03-05", "input_tokens", "")
    assert found["currency"] == "USD"
    assert found["price_worth"] == one["worth"]


def test_what_was_asked_at_flex_is_owed_at_the_tier_it_was_served_at(run: Run, tmp_path: Path) -> None:
    """Each second of these requests was served at the default tier, which its upstream said, and charged for."""
    asked = [
        msgspec.structs.replace(event, id=f"flex-{number}", tier="flex", meters={"input_tokens": 10_000})
        for number, event in enumerate(event for event in used() if (event.finished_at - MARCH) // DAY == 8)
    ]
    with open_log(load_settings({"ENTREPOT_HOME": str(tmp_path / "var")}, {})) as log:
        log.append([ServedAt(event.id, event.admitted_at, "default") for event in asked[::2]])
        log.append([UsageRecorded(event) for event in asked])
    tokens = sum(event.meters["input_tokens"] for event in used() if (event.finished_at - MARCH) // DAY == 8)
    bucket = usage_page()["data"][8]
    for served, agrees in (((30, 15), True), ((15, 15), False), ((30, 30), False)):
        flex = sum(len(asked) // 2 * 10_000 * price for price in served)
        page = [{**bucket, "results": [_cost("gpt-4-0613, input", (tokens * 30 + flex) / 10**6)]}]
        costs = write(tmp_path / f"costs-{served}.json", {**usage_page(), "data": page})
        assert run("reconcile", "import", "openai", costs)[0] == 0
        found = run("reconcile", "partner", "openai", "2024-03")[1]
        assert found["agrees"] is agrees, found["findings"]
    assert run("verify")[1]["equal"]


def test_attempts_of_requests_that_wait_in_quarantine_are_counted_and_told_apart(run: Run, tmp_path: Path) -> None:
    """West answered, one request of a customer who is declared later, one with usage that cannot be read; so did east
    begin to, and stopped, and charges for that.
    """
    answered = next(event for event in used() if event.id == "west-30")
    attempt = AttemptEnded("", 1, answered.admitted_at, answered.finished_at, "east", "outrun", raw=b"{}")
    records: list[LogRecord] = []
    of_later = msgspec.structs.replace(answered, id="unpriced", customer="later", project="other")
    for event in (of_later, msgspec.structs.replace(answered, id="unreadable", meters={}, raw=b"{}")):
        records += [
            msgspec.structs.replace(attempt, id=event.id, meters={"input_tokens": 50_000, "output_tokens": 0}),
            UsageRecorded(event),
        ]
    with open_log(load_settings({"ENTREPOT_HOME": str(tmp_path / "var")}, {})) as log:
        log.append(records)
    page = usage_page()
    of_east, of_west = page["data"][1]["results"]
    of_east["input_tokens"] += 100_000
    of_west["input_tokens"] += answered.meters["input_tokens"]
    of_west["output_tokens"] += 15
    run("reconcile", "import", "openai", write(tmp_path / "usage.json", page))
    status, found = run("reconcile", "partner", "openai", "2024-03")
    assert (status, found["findings"]) == (0, [])
    assert found["waiting"] == 100_000 + sum(answered.meters.values())
    later = WORLD.replace("{id: acme, name: Acme}", "{id: acme, name: Acme}, {id: later, name: Later}").replace(
        "contracts: [", "contracts: [{customer: later, effective_from: 2024-01-01, price_book: list}, "
    )
    (tmp_path / "later.yaml").write_text(later.replace("projects: [", "projects: [{id: other, customer: later}, "))
    assert run("apply", str(tmp_path / "later.yaml"))[0] == 0
    status, found = run("reconcile", "partner", "openai", "2024-03")
    assert (status, found["findings"], found["waiting"]) == (0, [], 50_000)


def _cost(item: str, value: float) -> dict[str, Any]:
    amount = {"value": value, "currency": "usd"}
    return {"object": "organization.costs.result", "amount": amount, "line_item": item, "project_id": None}


def test_azures_export(run: Run, tmp_path: Path) -> None:
    """Quantities in thousands with three digits, other services left out, an item that nobody declared is said."""
    path = tmp_path / "export.csv"
    service = "Microsoft.CognitiveServices"
    resource = f"/subscriptions/s1/resourceGroups/g/providers/{service}/accounts/oai-east"
    columns = ("Date", "SubscriptionId", "ResourceId", "MeterName", "Quantity", "UnitOfMeasure")
    rows: list[list[object]] = [[*columns, "CostInBillingCurrency", "BillingCurrencyCode", "ConsumedService"]]
    for day in range(DAYS):
        of_day = [event for event in used() if (event.admitted_at - MARCH) // DAY == day]
        tokens = sum(event.meters["input_tokens"] for event in of_day if event.upstream == "east")
        date, cost = f"03/{day + 1:02d}/2024", round(tokens * 0.00003, 6)
        rows.append([date, "s1", resource, "gpt 4 Inp", tokens // 10 / 100, "1K", cost, "USD", service])
        rows.append([date, "s1", "vm", "D4s v5", 24, "1 Hour", 4.6, "USD", "Microsoft.Compute"])
    rows.append(["03/07/2024", "s1", resource, "gpt 5 Inp", 2, "1K", 0.06, "USD", service])
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(rows)
    status, done = run("reconcile", "import", "openai", str(path))
    assert (status, done["rows"], done["left_out"]) == (0, 32, 31)
    _, found = run("reconcile", "partner", "openai", "2024-03")
    assert found["unmapped"] == [
        {"key": "oai-east", "item": "gpt 5 Inp", "meter": "", "quantity": "2000", "cost": "0.06"}
    ]
    missing = {(item["kind"], item["upstream"], item["meter"]) for item in found["findings"]}
    assert missing == {
        ("missing", "east", "output_tokens"),
        ("missing", "west", "input_tokens"),
        ("missing", "west", "output_tokens"),
    }


def test_any_table_with_its_columns(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "any.csv"
    lines = ["Tag,Modell,Zaehler,Menge,Schluessel"]
    for event in used():
        label = f"2024-03-{(event.admitted_at - MARCH) // DAY + 1:02d}"
        key = {"east": "key_a", "west": "key_b"}[event.upstream]
        lines += [f"{label},gpt-4,{meter},{event.meters[meter]},{key}" for meter in ("input_tokens", "output_tokens")]
        lines += [f"{label},gpt-4,output_tokens,5,{key}"]
    path.write_text("\n".join(lines))
    columns = "day=Tag,item=Modell,meter=Zaehler,quantity=Menge,key=Schluessel"
    assert run("reconcile", "import", "openai", str(path), "--columns", columns)[1]["rows"] == 124
    assert run("reconcile", "partner", "openai", "2024-03")[1]["agrees"]


def test_a_table_without_a_currency(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "any.csv"
    path.write_text('Tag,Was,Menge,Preis\n2024-03-05,gpt-9,10,1\n2024-03-05,"gpt-4-0613, input",10,0.5\n')
    columns = "day=Tag,item=Was,quantity=Menge,cost=Preis"
    assert run("reconcile", "import", "openai", str(path), "--columns", columns)[0] == 0
    assert run("reconcile", "import", "openai", write(tmp_path / "costs.json", a_cost()))[0] == 0
    assert run("reconcile", "partner", "openai", "2024-03")[1]["currency"] == "USD"
    assert main(["reconcile", "partner", "openai", "2024-03"]) == 1
    verdict = capsys.readouterr().out.splitlines()[0]
    assert verdict.endswith("; 1 thing that nothing of ours is declared for (USD)")


def a_cost() -> dict[str, Any]:
    """A file of costs, in USD, of one day."""
    page = usage_page(days=1)
    return {**page, "data": [{**page["data"][0], "results": [_cost("gpt-4-0613, input", 0.5)]}]}


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        ("", (), "is empty"),
        ('{"object": "list"}', (), "is not a page of OpenAI"),
        ("a,b\n1,2\n", (), "has no column date, metername, quantity, costinbillingcurrency"),
        ("a,b\n1\n", (), "line 2 has 1 cells"),
        ("d,i,q\nsoon,x,1\n", ("--columns", "day=d,item=i,quantity=q"), "row 2: 'soon' is not"),
        ("d,i,q\n2024-03-01,x,lots\n", ("--columns", "day=d,item=i,quantity=q"), "row 2: 'lots' is not a number"),
        ("d,i\n2024-03-01,x\n", ("--columns", "day=d,item=i,quantity=q"), "has no column 'q'"),
        ("d,i\n", ("--columns", "day=d,item=i"), "needs at least day, item"),
        ("d,i\n", ("--columns", "when=d"), "write day, account"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    run: Run, tmp_path: Path, content: str, more: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    status, message = run("reconcile", "import", "openai", str(path), *more)
    assert status == 1
    assert said in message
    assert message.count("\n") == 1


def test_a_partner_that_is_not_declared(run: Run, tmp_path: Path) -> None:
    assert "no partner 'nobody'; declared are openai" in run("reconcile", "partner", "nobody", "2024-03")[1]
