"""Batches with the Python clients: work that can wait, at the price of a batch."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import openai
import pytest
from openai.types import Batch

from entrepot.compose.batch_runner import REQUESTS_AT_ONCE
from entrepot.compose.settings import load_settings
from tests.support.product import Product, eventually

ENDED = {"completed", "failed", "expired", "cancelled"}
RETRIES = 20  # A second apart, as they are told: a test here kills the jobs process, and the next one takes its time.


def openai_client(product: Product) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{product.gateway}/v1", api_key=product.key, max_retries=RETRIES)


def openai_client_on_azure(product: Product) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{product.gateway}/openai/v1/", api_key=product.key, max_retries=RETRIES)


def azure_client(product: Product) -> openai.OpenAI:
    return openai.AzureOpenAI(
        azure_endpoint=product.gateway, api_key=product.key, api_version="2024-10-21", max_retries=RETRIES
    )


@pytest.fixture(params=[openai_client, openai_client_on_azure, azure_client])
def client(product: Product, request: pytest.FixtureRequest) -> Iterator[openai.OpenAI]:
    """A client that asks again where that can help."""
    with request.param(product) as client:
        yield client


@pytest.fixture
def plain(product: Product) -> Iterator[openai.OpenAI]:
    """One of these clients, for what is the same with all of them."""
    with openai_client(product) as client:
        yield client


def lines(deployment: str, prompts: Sequence[str], **body: Any) -> bytes:
    """An input file that asks for an answer to each prompt."""
    return b"".join(
        line(f"ask-{n}", model=deployment, messages=[{"role": "user", "content": prompt}], **body)
        for n, prompt in enumerate(prompts, start=1)
    )


def line(custom_id: str, url: str = "/v1/chat/completions", **body: Any) -> bytes:
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": url, "body": body}).encode() + b"\n"


def begin(client: openai.OpenAI, content: bytes, endpoint: Any = "/v1/chat/completions", **more: Any) -> Batch:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    """The batch, once it has ended."""

    def look() -> Batch | None:
        found = client.batches.retrieve(batch.id)
        return found if found.status in ENDED else None

    return eventually(look)


def await_progress(client: openai.OpenAI, batch: Batch) -> None:
    """Returns once some of the batch's requests have their answer."""

    def look() -> int:
        counts = client.batches.retrieve(batch.id).request_counts
        return counts.completed if counts else 0

    eventually(look)


def records(client: openai.OpenAI, file_id: str | None) -> list[Any]:
    """The lines of an output or error file."""
    assert file_id
    return [json.loads(text) for text in client.files.content(file_id).read().splitlines()]


def note(product: Product, record: Any) -> None:
    """Keeps what a line of an output file says was used; the books must hold it at the batch tier."""
    response = record["response"]
    product.note(response["request_id"], response["body"]["usage"], tier="batch")


def test_item_08_a_batch_runs_from_upload_to_output(product: Product, client: openai.OpenAI) -> None:
    content = lines("chat", ["What is the capital of France?", "And of Spain?"], max_tokens=8, temperature=0)
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert (file.purpose, file.bytes, file.filename, file.status) == ("batch", len(content), "in.jsonl", "processed")
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"team": "ads"},
    )
    assert (batch.object, batch.status, batch.metadata) == ("batch", "validating", {"team": "ads"})
    batch = ended(client, batch)
    assert (batch.status, batch.error_file_id, batch.errors) == ("completed", None, None)
    assert batch.request_counts is not None
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (2, 2, 0)
    first, second = records(client, batch.output_file_id)
    assert [first["custom_id"], second["custom_id"]] == ["ask-1", "ask-2"]
    assert "Paris" in first["response"]["body"]["choices"][0]["message"]["content"]
    assert (first["response"]["status_code"], first["error"]) == (200, None)
    for record in (first, second):
        note(product, record)


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/embeddings", {"model": "embeddings", "input": "the sea"}),
        ("/v1/completions", {"model": "chat", "prompt": "The sea is", "max_tokens": 3}),
        ("/chat/completions", {"model": "chat", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}),
    ],
)
def test_each_operation_runs_in_a_batch(
    product: Product, plain: openai.OpenAI, endpoint: str, body: dict[str, Any]
) -> None:
    batch = ended(plain, begin(plain, line("one", endpoint, **body), endpoint))
    assert batch.status == "completed"
    [record] = records(plain, batch.output_file_id)
    note(product, record)


def test_requests_that_fail_go_to_the_error_file(product: Product, plain: openai.OpenAI) -> None:
    prompts = ["one two", "three [[status=400]]", "four"]
    batch = ended(plain, begin(plain, lines("large", prompts)))
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    good, failed = records(plain, batch.output_file_id), records(plain, batch.error_file_id)
    assert [record["custom_id"] for record in good] == ["ask-1", "ask-3"]
    assert [(record["custom_id"], record["response"]["status_code"]) for record in failed] == [("ask-2", 400)]
    for record in good:
        note(product, record)


def test_a_deployment_without_batch_prices_is_refused_at_once(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="no batch price") as raised:
        begin(client, lines("small", ["one"]))
    assert "small" in raised.value.message
    assert raised.value.code == ("BadRequest" if isinstance(client, openai.AzureOpenAI) else "unsupported_value")
    assert raised.value.request_id


def test_what_every_request_would_be_refused_for_is_refused_at_once(client: openai.OpenAI) -> None:
    azure = isinstance(client, openai.AzureOpenAI)
    with pytest.raises(openai.NotFoundError) as unknown:
        begin(client, lines("nobody", ["one"]))
    assert unknown.value.code == ("DeploymentNotFound" if azure else "model_not_found")
    with pytest.raises(openai.BadRequestError) as unsupported:
        begin(client, lines("embeddings", ["one"]))
    assert unsupported.value.code == ("OperationNotSupported" if azure else "operation_not_supported")
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-x", endpoint="/v1/embeddings", completion_window="24h")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.files.create(file=("in.jsonl", b"{}"), purpose="fine-tune")


def test_a_file_with_a_fault_fails_the_batch_and_names_the_line(plain: openai.OpenAI) -> None:
    batch = ended(plain, begin(plain, lines("large", ["one"]) + b"{\n" + lines("large", ["one"])))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(item.code, item.line) for item in batch.errors.data or []] == [
        ("invalid_json_line", 2),
        ("duplicate_custom_id", 3),
    ]


def test_a_cancelled_batch_runs_no_further(product: Product, plain: openai.OpenAI) -> None:
    batch = begin(plain, lines("large", ["one [[delay=0.1]]"] * 200))
    await_progress(plain, batch)
    assert plain.batches.cancel(batch.id).status in {"cancelling", "cancelled"}
    batch = ended(plain, batch)
    assert batch.status == "cancelled"
    ran, not_run = records(plain, batch.output_file_id), records(plain, batch.error_file_id)
    assert len(ran) + len(not_run) == 200
    assert {record["error"]["code"] for record in not_run} == {"batch_cancelled"}
    for record in ran:
        note(product, record)


def test_files_and_batches_are_listed_page_by_page_and_deleted(client: openai.OpenAI) -> None:
    batches = [begin(client, lines("large", ["one"])) for _ in range(3)]
    made = [batch.id for batch in batches]
    assert [batch.id for batch in client.batches.list(limit=2) if batch.id in made] == made[::-1]
    content = lines("large", ["one"])
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert file.id in [item.id for item in client.files.list(purpose="batch", limit=1)]
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == content
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


def test_another_project_sees_none_of_it(product: Product, plain: openai.OpenAI) -> None:
    batch = begin(plain, lines("large", ["one"]))
    other = plain.with_options(api_key=product.keys["shop"])
    for look in (other.batches.retrieve, other.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            look(batch.id)
    with pytest.raises(openai.NotFoundError):
        other.files.content(batch.input_file_id)
    assert batch.id not in [item.id for item in other.batches.list()]
    with pytest.raises(openai.AuthenticationError):
        plain.with_options(api_key="ek-nobody").files.list()


def test_a_batch_outlives_the_death_of_its_process(product: Product, plain: openai.OpenAI) -> None:
    """Given a batch under way whose process is killed, then it goes on after the restart and each request has one
    answer; no more than what was under way at that moment is asked, and booked, twice."""
    sizes = range(1001, 1041)  # No other test asks for as much.
    batch = begin(plain, lines("large", [f"{'word ' * size} [[delay=0.05]]" for size in sizes]))
    await_progress(plain, batch)
    killed = product.child("jobs")
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    batch = ended(plain, batch)
    eventually(lambda: product.child("jobs") not in {None, killed})
    assert batch.status == "completed"
    found = records(plain, batch.output_file_id)
    assert [record["custom_id"] for record in found] == [f"ask-{n}" for n in range(1, len(sizes) + 1)]
    assert [record["response"]["body"]["usage"]["prompt_tokens"] for record in found] == list(sizes)
    for record in found:
        note(product, record)
    product.booked(found[-1]["response"]["request_id"])
    asked = [record for record in product.export().values() if record["meters"].get("input_tokens", 0) in sizes]
    assert {record["tier"] for record in asked} == {"batch"}
    assert len(sizes) <= len(asked) <= len(sizes) + REQUESTS_AT_ONCE


def test_the_price_of_a_batch_cannot_be_claimed(product: Product) -> None:
    """The fields that gateway and jobs process speak to each other in mean nothing from anybody else."""
    claim = {"x-entrepot-tier": "batch", "x-entrepot-project": "shop"}
    asked = {"model": "large", "messages": [{"role": "user", "content": "one"}]}
    url = f"{product.gateway}/v1/chat/completions"
    answer = httpx.post(url, headers={**claim, "api-key": product.key}, json=asked)
    booked = product.booked(answer.headers["x-request-id"])
    assert (booked["project"], booked["tier"]) == ("search", "default")
    for guess in ("ei-guess", "ei-", "Bearer"):
        assert httpx.post(url, headers={**claim, "api-key": guess}, json=asked).status_code == 401


def test_the_jobs_process_answers_gateways_alone(product: Product, plain: openai.OpenAI) -> None:
    plain.files.list()  # It is there, even if another test has just killed it.
    socket = load_settings({}, {"home": str(product.home)}).jobs_socket
    assert socket.stat().st_mode & 0o077 == 0
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://jobs") as client:
        answer = client.get("/files", headers={"x-entrepot-project": "search", "api-key": product.key})
    assert answer.status_code == 401
