"""What clients of Azure OpenAI rely on, by the numbers of the compatibility checklist that this product follows.

Items that other files show in passing carry their number there: 8 in test_batches and test_node_client, 17 in
test_python_client.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import httpx
import openai
import pytest

from tests.support.directory_tokens import APPLICATION, AUDIENCES, AUDITOR, signed_token
from tests.support.product import WAIT_S_MAX, Product, eventually

VERSION = "2024-10-21"
HELLO: Any = [{"role": "user", "content": "one two"}]
CHAT = {"messages": HELLO}
ENTRIES = ("/v1", "/openai/v1", "/openai/deployments/large")


@pytest.fixture(scope="module")
def http(product: Product) -> Iterator[httpx.Client]:
    """Bare HTTP with the key, following no redirect."""
    with httpx.Client(base_url=product.gateway, headers={"api-key": product.key}, timeout=WAIT_S_MAX) as client:
        yield client


def chat(http: httpx.Client, entry: str = "/v1", **more: Any) -> httpx.Response:
    """The answer of a scripted model, asked at one of ENTRIES."""
    query = {"api-version": VERSION} if "deployments" in entry else {}
    fields: dict[str, Any] = {"params": query, "json": {"model": "large", **CHAT}, **more}
    return http.post(f"{entry}/chat/completions", **fields)


def azure(product: Product, **more: Any) -> openai.AzureOpenAI:
    fields: dict[str, Any] = {"azure_endpoint": product.gateway, "api_version": VERSION, "max_retries": 0, **more}
    return openai.AzureOpenAI(**fields)


def test_item_01_azure_s_client_works_with_address_key_and_version_alone(product: Product) -> None:
    with azure(product, api_key=product.key) as client:
        answer = client.chat.completions.create(model="large", messages=HELLO)
    assert answer.choices[0].message.content == "w1 w2 w3"
    product.note(answer._request_id, answer.usage)


def test_item_01_a_deployment_can_be_given_once_for_all_calls(product: Product) -> None:
    with azure(product, api_key=product.key, azure_deployment="large") as client:
        answer = client.chat.completions.create(model="whatever", messages=HELLO)
        assert "large" in [model.id for model in client.models.list()]
    assert answer.choices[0].message.content == "w1 w2 w3"
    product.note(answer._request_id, answer.usage)


def test_item_02_v1_takes_the_key_as_bearer_and_as_api_key(product: Product) -> None:
    for headers in ({"authorization": f"Bearer {product.key}"}, {"api-key": product.key}):
        answer = httpx.post(
            f"{product.gateway}/openai/v1/chat/completions", headers=headers, json={"model": "large", **CHAT}
        )
        assert answer.status_code == 200
        product.note(answer.headers["x-request-id"], answer.json()["usage"])


@pytest.mark.parametrize("audience", AUDIENCES)
def test_item_03_a_directory_s_token_is_accepted_for_either_audience(product: Product, audience: str) -> None:
    token = signed_token(product.signing_key, aud=audience)
    with azure(product, azure_ad_token_provider=lambda: token) as client:
        answer = client.chat.completions.create(model="large", messages=HELLO)
    assert product.booked(answer._request_id)["key"] == APPLICATION
    with openai.OpenAI(base_url=f"{product.gateway}/openai/v1/", api_key=token) as client:
        answer = client.chat.completions.create(model="large", messages=HELLO)
    product.note(answer._request_id, answer.usage)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"aud": "https://another.example"}, "another audience"),
        ({"exp": int(time.time()) - 10}, "expired"),
        ({"iss": "https://another.example"}, "issuer"),
    ],
)
def test_item_03_any_other_token_is_401(product: Product, claims: dict[str, Any], said: str) -> None:
    with (
        azure(product, azure_ad_token=signed_token(product.signing_key, **claims)) as client,
        pytest.raises(openai.AuthenticationError, match=said) as raised,
    ):
        client.chat.completions.create(model="large", messages=HELLO)
    assert raised.value.code == "401"


def test_item_03_a_token_that_was_changed_is_401(product: Product) -> None:
    head, _, signature = signed_token(product.signing_key).split(".")
    _, other, _ = signed_token(product.signing_key, oid=AUDITOR).split(".")
    with (
        azure(product, azure_ad_token=f"{head}.{other}.{signature}") as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.models.list()


def test_item_04_a_dated_path_needs_a_known_version(http: httpx.Client) -> None:
    path = "/openai/deployments/large/chat/completions"
    without = http.post(path, json=CHAT)
    assert (without.status_code, without.json()["error"]["code"]) == (400, "BadRequest")
    assert "api-version" in without.json()["error"]["message"]
    assert http.post(path, params={"api-version": "1999-01-01"}, json=CHAT).status_code == 404


@pytest.mark.parametrize("version", ["", "?api-version=v1", "?api-version=preview"])
def test_item_04_v1_needs_no_version(http: httpx.Client, version: str) -> None:
    assert http.get(f"/openai/v1/models{version}").status_code == 200


@pytest.mark.parametrize(
    ("segment", "status"), [("l%61rge", 200), ("l%2561rge", 404), ("a%2Flarge", 404), ("..%2Flarge", 404), ("..", 404)]
)
def test_item_05_a_deployment_s_name_is_decoded_once_and_never_walks(
    product: Product, segment: str, status: int
) -> None:
    path = f"/openai/deployments/{segment}/chat/completions?api-version={VERSION}"
    with contextlib.closing(HTTPConnection(product.gateway.removeprefix("http://"))) as connection:
        connection.request("POST", path, json.dumps(CHAT), {"api-key": product.key})  # Sends the path as it is.
        assert connection.getresponse().status == status


def test_item_06_the_path_s_deployment_wins_over_the_body_s_model(product: Product, http: httpx.Client) -> None:
    answer = chat(http, "/openai/deployments/large", json={"model": "small", **CHAT})
    assert answer.status_code == 200
    assert product.booked(answer.headers["x-request-id"])["deployment"] == "large"


def test_item_06_an_answer_names_the_model_behind_the_deployment(product: Product) -> None:
    with azure(product, api_key=product.key) as client:
        answer = client.chat.completions.create(model="chat", messages=HELLO, max_tokens=1)
    assert answer.model == "smollm2-135m"


@pytest.mark.parametrize("path", ["/openai/models?api-version=2024-10-21", "/openai/v1/models", "/v1/models"])
def test_item_07_models_are_those_the_caller_may_use(http: httpx.Client, product: Product, path: str) -> None:
    assert [model["id"] for model in http.get(path).json()["data"]] == ["chat", "embeddings", "large", "small"]
    other = http.get(path, headers={"api-key": product.keys["shop"]})
    assert [model["id"] for model in other.json()["data"]] == ["helper", "studio"]


@pytest.mark.parametrize(
    "path",
    ["/", "/v1", "/v1/", "/openai", "/openai/", "/v1/models/", "/v1//models", "/openai/v1", "/v1/chat/completions/"],
)
def test_item_09_nothing_is_ever_redirected(http: httpx.Client, path: str) -> None:
    for method in ("GET", "POST", "HEAD"):
        assert http.request(method, path).status_code in {404, 405}


@pytest.mark.parametrize("entry", ENTRIES)
def test_item_17_usage_is_the_last_chunk_and_has_no_choices(product: Product, http: httpx.Client, entry: str) -> None:
    body = {"model": "large", **CHAT, "stream": True, "stream_options": {"include_usage": True}}
    answer = chat(http, entry, json=body)
    *events, last, done = [line.removeprefix("data: ") for line in answer.text.splitlines() if line]
    assert done == "[DONE]"
    assert json.loads(last)["choices"] == []
    assert not any(json.loads(event).get("usage") for event in events)
    product.note(answer.headers["x-request-id"], json.loads(last)["usage"])


@pytest.mark.parametrize("dialect", ["openai", "azure"])
def test_item_20_a_stream_that_fails_midway_makes_the_client_raise(product: Product, dialect: str) -> None:
    """Given an upstream that breaks off after three chunks, then the client raises, and the three are booked."""
    openai_client = openai.OpenAI(base_url=f"{product.gateway}/v1", api_key=product.key, max_retries=0)
    with openai_client if dialect == "openai" else azure(product, api_key=product.key) as client:
        messages: Any = [{"role": "user", "content": "one two [[chunks=9 break=3]]"}]
        raw = client.chat.completions.with_raw_response.create(model="large", messages=messages, stream=True)
        seen: list[Any] = []
        with pytest.raises(openai.APIError, match="broke off"):
            seen.extend(raw.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in seen) == "w1 w2 w3 "
    booked = product.booked(raw.headers["x-request-id"])
    assert (booked["outcome"], booked["meters"]) == ("upstream_failed", {"input_tokens": 2, "output_tokens": 3})


@pytest.mark.parametrize("entry", ENTRIES)
def test_item_21_every_answer_has_both_ids(product: Product, http: httpx.Client, entry: str) -> None:
    good = chat(http, entry)
    refused = chat(http, entry, headers={"api-key": "ek-nobody"})
    failed = chat(http, entry, json={"model": "large", "messages": [{"role": "user", "content": "[[status=500]]"}]})
    streamed = chat(http, entry, json={"model": "large", **CHAT, "stream": True})
    answers = [good, refused, failed, streamed, http.get("/v1/models"), http.get("/nowhere"), http.put("/v1/models")]
    assert [answer.status_code for answer in answers] == [200, 401, 500, 200, 200, 404, 405]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert ids == [answer.headers["apim-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)
    assert product.booked(ids[0])["id"] == ids[0]


def test_item_27_an_unknown_deployment_is_404(http: httpx.Client) -> None:
    answer = http.post(f"/openai/deployments/nobody/chat/completions?api-version={VERSION}", json=CHAT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "DeploymentNotFound")
    assert set(answer.json()["error"]) == {"code", "message"}


@pytest.mark.parametrize(
    ("deployment", "operation", "body"),
    [("embeddings", "chat/completions", CHAT), ("large", "embeddings", {"input": "x"})],
)
def test_item_27_an_operation_the_model_has_not_is_400(
    http: httpx.Client, deployment: str, operation: str, body: dict[str, Any]
) -> None:
    answer = http.post(f"/openai/deployments/{deployment}/{operation}?api-version={VERSION}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "OperationNotSupported")


def test_item_28_a_wrong_key_is_401(http: httpx.Client) -> None:
    answer = chat(http, ENTRIES[2], headers={"api-key": "wrong"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "401")
    assert set(answer.json()["error"]) == {"code", "message"}
    missing = httpx.post(str(answer.url), json=CHAT)
    assert (missing.status_code, missing.json()["error"]["code"]) == (401, "401")


def test_item_28_a_principal_without_the_role_is_told_which_action(product: Product) -> None:
    token = signed_token(product.signing_key, oid=AUDITOR)
    with azure(product, azure_ad_token=token) as client:
        assert "large" in [model.id for model in client.models.list()]
        with pytest.raises(openai.AuthenticationError) as raised:
            client.chat.completions.create(model="large", messages=HELLO)
        assert raised.value.code == "PermissionDenied"
        assert AUDITOR in raised.value.message
        assert "chat/completions/action" in raised.value.message
        with pytest.raises(openai.AuthenticationError, match="batch-jobs/write"):
            client.files.list()


def test_item_29_a_retired_model_is_410(http: httpx.Client) -> None:
    answer = http.post(f"/openai/deployments/old/chat/completions?api-version={VERSION}", json=CHAT)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "ModelRetired")


def test_what_was_refused_is_not_booked(product: Product, http: httpx.Client) -> None:
    refused = chat(http, headers={"api-key": "ek-nobody"}).headers["x-request-id"]
    good = chat(http).headers["x-request-id"]
    eventually(lambda: product.booked(good))
    assert refused not in product.export()
