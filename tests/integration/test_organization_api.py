"""Usage and costs as OpenAI tells them: its own client reads them, its schemas hold, and the sums are ours."""

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from starlette.testclient import TestClient

from entrepot.compose.books import open_books
from entrepot.compose.control_plane import control_app
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.tokens import admin_token
from entrepot.core.periods import DAY, SECOND, parse_instant
from entrepot.core.tokens import INPUT_METERS
from entrepot.exporting.organization_usage import PAGES, USAGE_KINDS
from tests.support.json_schema import disagreements
from tests.support.rich_books import make_books

DESCRIBED = json.loads(Path(__file__).with_name("organization_schemas.json").read_text())
MARCH, MAY = (parse_instant(text) // SECOND for text in ("2024-03-01", "2024-05-01"))
# Months begin hours earlier in UTC where clocks are ahead of it.
BEFORE, AFTER = MARCH - DAY // SECOND, MAY + DAY // SECOND


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load_settings({}, {"home": str(make_books(tmp_path_factory.mktemp("rich")))})


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(control_app(settings), headers={"authorization": f"Bearer {admin_token(settings)}"}) as client:
        yield client


def ask(client: TestClient, what: str, **wanted: Any) -> dict[str, Any]:
    """One page, which is as OpenAI describes it."""
    customer = {"openai-organization": wanted.pop("customer")} if "customer" in wanted else {}
    answer = client.get(f"/v1/organization/{what}", params={"start_time": BEFORE, **wanted}, headers=customer)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    plain = json.loads(answer.text)
    assert list(disagreements(plain, {"$ref": "UsageResponse"}, DESCRIBED["schemas"])) == []
    return page


def results(client: TestClient, what: str, **wanted: Any) -> list[dict[str, Any]]:
    """The results of every page from February to May 2024."""
    found, page = [], None
    while True:
        told = ask(client, what, end_time=AFTER, **wanted, **({"page": page} if page else {}))
        found += [result for bucket in told["data"] for result in bucket["results"]]
        if not told["has_more"]:
            return found
        page = told["next_page"]


def counted(settings: Settings) -> Counter[tuple[str, str]]:
    """{(model, meter): quantity} of all readings."""
    sums: Counter[tuple[str, str]] = Counter()
    with open_books(settings) as books:
        for reading in books.readings(0, parse_instant("2030-01-01")):
            sums[reading.series.model, reading.meter] += reading.quantity
    return sums


@pytest.mark.parametrize("width", ["1h", "1d"])
def test_usage_is_what_was_counted(client: TestClient, settings: Settings, width: str) -> None:
    sums = counted(settings)
    wanted = {"bucket_width": width, "group_by[]": "model", "limit": 31 if width == "1d" else 168}
    of_model: dict[str, Counter[str]] = {}
    for kind in ("completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions"):
        for result in results(client, f"usage/{kind}", **wanted):
            numbers = {name: value for name, value in result.items() if isinstance(value, int)}
            of_model.setdefault(result["model"], Counter()).update(numbers)
    told = of_model["gpt-4.1"]
    assert told["input_tokens"] == sum(sums["gpt-4.1", meter] for meter in INPUT_METERS)
    assert told["input_cached_tokens"] == sums["gpt-4.1", "cached_input_tokens"]
    assert told["input_uncached_tokens"] == sums["gpt-4.1", "input_tokens"]
    assert told["output_tokens"] == sums["gpt-4.1", "output_tokens"] + sums["gpt-4.1", "reasoning_tokens"]
    assert of_model["embed"]["input_tokens"] == sums["embed", "input_tokens"]
    assert of_model["dall-e"]["images"] == sums["dall-e", "images"]
    assert of_model["tts"]["characters"] == sums["tts", "characters"]
    assert of_model["whisper"]["seconds"] == sums["whisper", "audio_seconds"]
    with open_books(settings) as books:
        assert sum(of["num_model_requests"] for of in of_model.values()) == books.usage_counts().booked


def test_hours_and_requests_tell_the_same(client: TestClient) -> None:
    """With a key asked for, every request is read; without, the hours are."""
    by_hour = ask(client, "usage/completions", end_time=AFTER, limit=31)
    by_request = ask(client, "usage/completions", end_time=AFTER, limit=31, group_by="api_key_id")
    assert by_hour == by_request
    minutes = ask(client, "usage/completions", start_time=MARCH, bucket_width="1m", limit=1440)
    assert len(minutes["data"]) == 1440
    assert Counter(tokens_of(minutes)) == Counter(
        tokens_of(ask(client, "usage/completions", start_time=MARCH, limit=1))
    )


def tokens_of(page: dict[str, Any]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for bucket in page["data"]:
        for result in bucket["results"]:
            sums.update({name: value for name, value in result.items() if isinstance(value, int)})
    return sums


@pytest.mark.parametrize("group_by", ["", "line_item", "project_id,api_key_id"])
@pytest.mark.parametrize("customer", ["Acme", "acme", "blau", "cobalt", "dune", "erg", "fjord", None])
def test_costs_sum_to_the_invoices(client: TestClient, settings: Settings, customer: str | None, group_by: str) -> None:
    of = {"group_by": group_by} | ({"customer": customer} if customer else {})
    by_currency: Counter[str] = Counter()
    for result in results(client, "costs", limit=180, **of):
        by_currency[result["amount"]["currency"].upper()] += Decimal(result["amount"]["value"])  # type: ignore[assignment]
    with open_books(settings) as books:
        invoices = [item for item in books.invoices() if customer in (None, item.customer) and not item.corrects]
    invoiced: Counter[str] = Counter()
    for invoice in invoices:
        invoiced[invoice.currency] += Decimal(invoice.total)  # type: ignore[assignment]
    assert by_currency == invoiced


def test_costs_of_a_month_sum_to_its_invoices(client: TestClient, settings: Settings) -> None:
    april = parse_instant("2024-04-01") // SECOND
    amounts = [
        Decimal(result["amount"]["value"])
        for bucket in ask(client, "costs", start_time=MARCH, end_time=april, limit=180, customer="acme")["data"]
        for result in bucket["results"]
    ]
    with open_books(settings) as books:
        invoiced = [Decimal(item.total) for item in books.invoices("2024-03") if item.customer == "acme"]
    assert sum(amounts) == sum(invoiced)


def test_costs_by_line_item_and_project(client: TestClient) -> None:
    found = results(client, "costs", limit=180, customer="acme", **{"group_by[]": ["line_item", "project_id"]})
    images = [result for result in found if result["line_item"] == "dall-e, images"]
    assert sum(result["quantity"] for result in images) * Decimal("0.04") == sum(
        Decimal(result["amount"]["value"]) for result in images
    )
    assert {(result["project_id"], result["quantity_unit"]) for result in images} == {("search", "images")}
    assert {result["project_id"] for result in found if result["line_item"] == "rounding"} == {None}


def test_filters_and_groups(client: TestClient) -> None:
    batch = results(client, "usage/completions", limit=31, batch="true", group_by="batch,service_tier")
    rest = results(client, "usage/completions", limit=31, batch="false", group_by="batch")
    every = results(client, "usage/completions", limit=31)
    assert {(result["batch"], result["service_tier"]) for result in batch} == {(True, "batch")}
    assert {(result["batch"], result["service_tier"]) for result in rest} == {(False, None)}
    assert sum(item["input_tokens"] for item in (*batch, *rest)) == sum(item["input_tokens"] for item in every)
    of_project = results(client, "usage/completions", limit=31, **{"project_ids[]": "suche", "group_by": "project_id"})
    of_customer = results(client, "usage/completions", limit=31, customer="blau", group_by="project_id")
    assert of_project == of_customer
    assert {result["project_id"] for result in of_project} == {"suche"}
    assert results(client, "usage/completions", limit=31, models="gpt-9") == []
    assert results(client, "usage/completions", limit=31, user_ids="somebody") == []
    assert results(client, "usage/completions", limit=31, api_key_ids="key_1") == []


@pytest.mark.parametrize("kind", USAGE_KINDS)
def test_what_can_be_asked_is_what_is_described(client: TestClient, kind: str) -> None:
    described = DESCRIBED["parameters"][kind]["group_by"]["items"]["enum"]
    assert list(PAGES[kind].group_by) == described  # type: ignore[index]
    ask(client, f"usage/{kind}", end_time=AFTER, **{"group_by[]": described})
    refused = client.get(f"/v1/organization/usage/{kind}", params={"start_time": 0, "group_by": "colour"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "group_by")


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({}, "start_time"),
        ({"start_time": "yesterday"}, "start_time"),
        ({"start_time": MAY, "end_time": MARCH}, "end_time"),
        ({"start_time": MARCH, "bucket_width": "1w"}, "bucket_width"),
        ({"start_time": MARCH, "limit": 32}, "limit"),
        ({"start_time": MARCH, "limit": 0}, "limit"),
        ({"start_time": MARCH, "page": "2"}, "page"),
        ({"start_time": MARCH, "page": "page_60"}, "page"),
        ({"start_time": "9" * 12}, "start_time"),
    ],
)
def test_what_cannot_be_asked_is_refused(client: TestClient, wanted: dict[str, Any], param: str) -> None:
    refused = client.get("/v1/organization/usage/completions", params=wanted)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


def test_unknown_pages_and_strangers(client: TestClient) -> None:
    assert client.get("/v1/organization/usage/thoughts", params={"start_time": 0}).status_code == 400
    for path in ("usage/completions", "costs"):
        answer = client.get(
            f"/v1/organization/{path}", params={"start_time": 0}, headers={"authorization": "Bearer no"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")


def test_openais_own_client_reads_it(client: TestClient, settings: Settings) -> None:
    admin = openai.OpenAI(
        admin_api_key=admin_token(settings), base_url="http://testserver/v1", http_client=client, organization="acme"
    ).admin.organization
    page = admin.usage.completions(start_time=MARCH, end_time=MAY, limit=31, group_by=["model", "service_tier"])
    assert page.has_more
    (result, *_) = page.data[0].results
    assert result.object == "organization.usage.completions.result"
    assert result.model in {"gpt-4.1", "gpt-4-1"}
    following = admin.usage.completions(start_time=MARCH, end_time=MAY, limit=31, page=page.next_page or "")
    assert following.data[0].start_time == page.data[-1].end_time
    assert not following.has_more
    costs = admin.usage.costs(start_time=MARCH, end_time=MAY, limit=180, group_by=["line_item"])
    assert costs.data[0].results[0].object == "organization.costs.result"


def test_a_page_reads_its_hours_and_no_more(settings: Settings) -> None:
    """Readings and runs of events are found by hour and series; neither table is read from its beginning."""
    with open_books(settings) as books:
        database = books._database  # type: ignore[attr-defined]
        planned: list[str] = []
        execute = database.rows

        def rows(sql: str, values: Any = ()) -> Any:
            planned.extend(row[3] for row in database.all(f"EXPLAIN QUERY PLAN {sql}", values))
            return execute(sql, values)

        database.rows = rows
        for looked_up_max in (64, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("entrepot.adapters.sql.usage_windows.LOOKED_UP_MAX", looked_up_max)
                list(books.usage_by_bucket(0, DAY, DAY, lambda _: True))
                list(books.events_in(0, DAY, lambda _: True))
    touched = [step for step in planned if " reading" in step]
    assert len(touched) == 6
    assert all(step.startswith("SEARCH") and "PRIMARY KEY (hour" in step for step in touched), touched
