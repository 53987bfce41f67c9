"""What each dialect looks like from outside: routes, versions, errors, headers, models."""

import gzip
import json
import time
from collections.abc import Iterator

import pytest

from entrepot.core.snapshot import ServedPrincipal
from entrepot.core.tenancy import IdentityProvider
from tests.support.directory_tokens import (
    APPLICATION,
    AUDIENCES,
    AUDITOR,
    ISSUER,
    new_signing_key,
    published_keys,
    signed_token,
)
from tests.support.gateway import KEY, UPSTREAM_KEY, Gateway, deployment, running_gateway, snapshot, target
from tests.support.requests import AZURE, Reply, ask, chat

OPENAI_MEMBERS = {"message", "type", "param", "code"}
V = "?api-version=2024-10-21"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def azure(operation: str = "chat/completions", name: str = "chat", query: str = V) -> str:
    return f"/openai/deployments/{name}/{operation}{query}"


# ---- routes and versions


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/chat/completions", AZURE.format("chat")])
@pytest.mark.parametrize("how", ["Authorization", "api-key"])
def test_a_key_works_on_every_route_in_either_header(gateway: Gateway, path: str, how: str) -> None:
    headers = {how: f"Bearer {KEY}" if how == "Authorization" else KEY}
    reply = ask(gateway, chat("hi"), path=path, headers=headers)
    assert (reply.status, reply.json()["model"]) == (200, "upstream-model")


@pytest.mark.parametrize("query", ["", "?api-version=preview", "?api-version=latest", "?api-version=v1", "?x=y"])
def test_undated_routes_need_no_version(gateway: Gateway, query: str) -> None:
    assert ask(gateway, chat("hi"), path=f"/openai/v1/chat/completions{query}").status == 200
    assert ask(gateway, path=f"/openai/v1/models{query}").status == 200


@pytest.mark.parametrize("path", [AZURE.format("chat"), "/openai/v1/chat/completions"])
def test_an_endpoint_may_end_with_a_slash_as_azures_portal_shows_it(gateway: Gateway, path: str) -> None:
    assert ask(gateway, chat("hi"), path=f"/{path}").status == 200


@pytest.mark.parametrize(
    "path", ["//v1/chat/completions", "///openai/v1/chat/completions", "//openai//v1/models", "//healthz"]
)
def test_no_other_path_has_slashes_to_spare(gateway: Gateway, path: str) -> None:
    assert ask(gateway, chat("hi"), path=path).status == 404


def test_a_slash_to_spare_leaves_the_dialect(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi"), path=f"/{azure(name='none')}").error.keys() == {"code", "message"}
    assert ask(gateway, chat("hi"), path="//openai/v1/nothing").error.keys() == OPENAI_MEMBERS


@pytest.mark.parametrize("path", ["/v1/chat/completions", AZURE.format("chat")])
def test_a_wrong_key_is_told_in_the_words_that_clients_look_for(gateway: Gateway, path: str) -> None:
    reply = ask(gateway, chat("hi"), path=path, headers={"api-key": "wrong"})
    assert reply.status == 401
    assert reply.error["message"].startswith("Incorrect API key provided")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (azure(query=""), 400, "BadRequest"),
        (azure(query="?api-version="), 400, "BadRequest"),
        (azure(query="?api-version=1999-01-01"), 404, "404"),
        ("/openai/models", 400, "BadRequest"),
        ("/openai/models?api-version=2020-01-01", 404, "404"),
        (azure(name="none"), 404, "DeploymentNotFound"),
        (azure(name="embed"), 400, "OperationNotSupported"),
        (azure("embeddings"), 400, "OperationNotSupported"),
        (azure(name="old"), 410, "ModelRetired"),
        (azure("threads"), 404, "404"),
        (azure(name="a/b"), 404, "404"),
        (azure(name="a%252Fb"), 404, "DeploymentNotFound"),
        (azure(name=""), 404, "404"),
        (azure(name=".."), 404, "404"),
        (azure(name="%2e%2e"), 404, "404"),
        ("/openai/deployments/../v1/chat/completions" + V, 404, "404"),
        ("/openai/nothing" + V, 404, "404"),
    ],
)
def test_azures_refusals(gateway: Gateway, path: str, status: int, code: str) -> None:
    reply = ask(gateway, b"" if "models" in path else chat("hi"), path=path)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.error.keys() == {"code", "message"}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/openai/v1/chat/completions?api-version=2024-10-21", chat("hi"), 404, "route_not_found"),
        ("/v1/chat/completions", chat("hi", model="none"), 404, "model_not_found"),
        ("/v1/chat/completions", chat("hi", model="model-of-chat"), 404, "model_not_found"),
        ("/v1/chat/completions", chat("hi", model="embed"), 400, "operation_not_supported"),
        ("/v1/embeddings", b'{"model":"chat","input":"a"}', 400, "operation_not_supported"),
        ("/v1/chat/completions", chat("hi", model="old"), 410, "model_retired"),
        ("/v1/chat/completions", b"{}", 400, "invalid_request"),
        ("/v1/chat/completions", b'{"model":"chat",}', 400, "invalid_request"),
        ("/v1/chat/completions", chat("hi", service_tier="priority"), 400, "unsupported_value"),
        ("/v1/models/none", b"", 404, "model_not_found"),
        ("/v1/models/old", b"", 404, "model_not_found"),
        ("/", b"", 404, "route_not_found"),
        ("/v1", b"", 404, "route_not_found"),
        ("/v1//chat/completions", chat("hi"), 404, "route_not_found"),
        ("/v1/../v1/chat/completions", chat("hi"), 404, "route_not_found"),
        ("/v1/chat/completions/", chat("hi"), 404, "route_not_found"),
        ("/v1/%63hat/completions", chat("hi"), 404, "route_not_found"),
    ],
)
def test_openais_refusals(gateway: Gateway, path: str, body: bytes, status: int, code: str) -> None:
    reply = ask(gateway, body, path=path)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert reply.error.keys() == OPENAI_MEMBERS


@pytest.mark.parametrize("path", ["/v1/chat/completions", AZURE.format("chat")])
def test_malformed_json_is_refused_with_its_position(gateway: Gateway, path: str) -> None:
    reply = ask(gateway, b'{"model": "chat", "messages": [}', path=path)
    assert reply.status == 400
    assert "(byte 31)" in reply.error["message"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/chat/completions", "http_415"),
        ("/v1/audio/transcriptions", "http_415"),
        ("/v1/batches", "http_415"),
        (AZURE.format("chat"), "415"),
        ("/models/chat/completions" + V, "415"),
    ],
)
def test_a_compressed_body_is_refused_as_such(gateway: Gateway, path: str, code: str) -> None:
    headers = {"api-key": KEY, "Content-Encoding": "gzip"}
    for _ in range(2):  # The head of the second is known from the first.
        reply = ask(gateway, gzip.compress(chat("hi")), path=path, headers=headers)
        assert (reply.status, reply.error["code"], reply.headers["accept-encoding"]) == (415, code, "identity")
        assert "Content-Encoding: gzip" in reply.error["message"]
    headers["Content-Encoding"] = "identity"
    assert ask(gateway, b"{", path=path, headers=headers).status != 415


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/chat/completions", "POST"),
        ("PUT", AZURE.format("chat"), "POST"),
        ("OPTIONS", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("DELETE", "/v1/models/chat", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_other_methods(gateway: Gateway, method: str, path: str, allowed: str) -> None:
    reply = ask(gateway, path=path, method=method)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)


def test_the_paths_deployment_counts_whatever_the_body_says(gateway: Gateway) -> None:
    for body in (chat("hi", model="none"), json.dumps({"messages": []}).encode()):
        assert ask(gateway, body, path=azure(name="a%2Fb")).status == 200
    served = list(gateway.upstream.served.values())[-1]
    assert served.body["model"] == "upstream-model"


# ---- who calls


@pytest.mark.parametrize(
    "headers", [{}, {"api-key": "wrong"}, {"Authorization": "Bearer wrong"}, {"Authorization": KEY}]
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", AZURE.format("chat"), "/openai/models" + V])
def test_unknown_callers(gateway: Gateway, path: str, headers: dict[str, str]) -> None:
    reply = ask(gateway, b"" if "models" in path else chat("hi"), path=path, headers=headers)
    assert reply.status == 401
    assert reply.error["code"] == ("401" if "?api-version" in path else "invalid_api_key")


@pytest.fixture(scope="module")
def directory() -> Iterator[tuple[Gateway, str]]:
    """A gateway that knows a directory, and the directory's signing key."""
    signing_key = new_signing_key()
    with running_gateway() as running:
        running.adopt(
            snapshot(
                deployment("chat", target(running.upstream.base_url)),
                providers=(IdentityProvider(ISSUER, AUDIENCES, published_keys(signing_key)),),
                principals={
                    APPLICATION: ServedPrincipal("search", "user"),
                    AUDITOR: ServedPrincipal("search", "reader"),
                },
            )
        )
        yield running, signing_key


def with_token(gateway: Gateway, token: str, path: str, body: bytes = b"") -> Reply:
    return ask(gateway, body, path=path, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize("audience", AUDIENCES)
@pytest.mark.parametrize("path", ["/v1/chat/completions", AZURE.format("chat")])
def test_a_directorys_token(directory: tuple[Gateway, str], audience: str, path: str) -> None:
    gateway, signing_key = directory
    assert with_token(gateway, signed_token(signing_key, aud=audience), path, chat("hi")).status == 200


@pytest.mark.parametrize(
    "claims", [{"aud": "https://elsewhere"}, {"exp": int(time.time()) - 1}, {"iss": "https://elsewhere"}]
)
def test_a_token_that_is_not_for_us(directory: tuple[Gateway, str], claims: dict[str, object]) -> None:
    gateway, signing_key = directory
    token = signed_token(signing_key, **claims)
    reply = with_token(gateway, token, "/v1/chat/completions", chat("hi"))
    assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
    reply = with_token(gateway, token, AZURE.format("chat"), chat("hi"))
    assert (reply.status, reply.error["code"]) == (401, "401")


def test_a_reader_may_list_and_nothing_else(directory: tuple[Gateway, str]) -> None:
    gateway, signing_key = directory
    token = signed_token(signing_key, oid=AUDITOR)
    assert with_token(gateway, token, "/v1/models").status == 200
    reply = with_token(gateway, token, "/v1/chat/completions", chat("hi"))
    assert (reply.status, reply.error["code"]) == (403, "permission_denied")
    reply = with_token(gateway, token, AZURE.format("chat"), chat("hi"))
    assert (reply.status, reply.error["code"]) == (401, "PermissionDenied")
    assert AUDITOR in reply.error["message"]
    assert "deployments/chat/completions/action" in reply.error["message"]


# ---- headers


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", chat("hi")),
        ("/v1/chat/completions", chat("hi", stream=True)),
        (AZURE.format("chat"), chat("hi", stream=True)),
        ("/v1/chat/completions", chat("hi", model="none")),
        ("/v1/chat/completions", chat("hi [[status=500]]")),
        ("/v1/models", b""),
        ("/healthz", b""),
        ("/nothing", b""),
    ],
)
def test_the_request_id_is_on_every_answer(gateway: Gateway, path: str, body: bytes) -> None:
    first, second = ask(gateway, body, path=path), ask(gateway, body, path=path)
    for reply in (first, second):
        assert len(reply.headers["x-request-id"]) == 32
        assert reply.headers["apim-request-id"] == reply.headers["x-request-id"]
        assert reply.headers["openai-processing-ms"].isdigit()
        assert not 300 <= reply.status < 400
    assert first.headers["x-request-id"] < second.headers["x-request-id"]


def test_azures_routes_name_the_deployment_that_served(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi"), path=azure(name="a%2Fb")).headers["x-ms-deployment-name"] == "a%2Fb"
    assert ask(gateway, chat("hi", stream=True), path=azure()).headers["x-ms-deployment-name"] == "chat"
    assert "x-ms-deployment-name" not in ask(gateway, chat("hi")).headers


def test_nothing_of_the_clients_head_goes_up_and_nothing_of_the_upstreams_comes_down(gateway: Gateway) -> None:
    headers = {
        "api-key": KEY,
        "Cookie": "a=b",
        "x-stainless-lang": "python",
        "User-Agent": "OpenAI/Python",
        "OpenAI-Organization": "org",
        "X-Request-Id": "mine",
        "Accept-Encoding": "gzip, br",
        "X-Forwarded-For": "10.0.0.1",
    }
    reply = ask(gateway, chat("hi", stream=True, user="u", metadata={"a": "b"}), headers=headers)
    served = gateway.upstream.served[reply.headers["x-request-id"]]
    [head] = served.heads
    assert head == {
        "host": f"127.0.0.1:{gateway.upstream.port}",
        "authorization": f"Bearer {UPSTREAM_KEY}",
        "user-agent": "entrepot",
        "accept": "application/json, text/event-stream",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "x-request-id": reply.headers["x-request-id"],
        "content-length": head["content-length"],
    }
    assert (served.body["user"], served.body["metadata"]) == ("u", {"a": "b"})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert not {"server", "set-cookie"} & reply.headers.keys()


# ---- streams


def test_a_stream_shows_usage_only_to_who_asked(gateway: Gateway) -> None:
    asked = ask(gateway, chat("hi", stream=True, stream_options={"include_usage": True}))
    not_asked = ask(gateway, chat("hi", stream=True))
    assert [json.loads(event)["choices"] for event in asked.events()[-2:-1]] == [[]]
    assert len(not_asked.events()) == len(asked.events()) - 1
    for reply in (asked, not_asked):
        served = gateway.upstream.served[reply.headers["x-request-id"]]
        assert served.body["stream_options"] == {"include_usage": True}
        assert reply.events()[-1] == "[DONE]"


@pytest.mark.parametrize("how", ["lines=crlf", "space=1", "close=1", "delay=0.002"])
def test_streams_of_other_servers(gateway: Gateway, how: str) -> None:
    reply = ask(gateway, chat(f"hi [[chunks=3 {how}]]", stream=True))
    assert b"w1 " in reply.body
    assert b"prompt_tokens" not in reply.body
    assert reply.body.rstrip().endswith(b"data: [DONE]")


def test_an_error_among_the_events_has_openais_members(gateway: Gateway) -> None:
    reply = ask(gateway, chat("hi [[break=1]]", stream=True), path=AZURE.format("chat"))
    assert json.loads(reply.events()[-1])["error"].keys() == OPENAI_MEMBERS


# ---- models and what operators look at


@pytest.mark.parametrize("path", ["/v1/models", "/openai/v1/models", "/openai/models" + V])
def test_the_models_are_what_the_caller_may_use(gateway: Gateway, path: str) -> None:
    listed = ask(gateway, path=path).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["chat", "a/b", "embed"]


@pytest.mark.parametrize("path", ["/v1/models/a%2Fb", "/openai/v1/models/a%2Fb", "/openai/models/a%2Fb" + V])
def test_one_model(gateway: Gateway, path: str) -> None:
    model = ask(gateway, path=path).json()
    assert (model["id"], model["object"], model["owned_by"]) == ("a/b", "model", "maker")


def test_heads_have_no_body(gateway: Gateway) -> None:
    reply = ask(gateway, path="/v1/models", method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 100


def test_alive_and_ready() -> None:
    with running_gateway() as gateway:
        assert ask(gateway, path="/healthz", headers={}).status == 200
        assert ask(gateway, path="/readyz", headers={}).json() == {"ready": True, "reasons": []}
        gateway.sink.available = False
        reply = ask(gateway, path="/readyz", headers={})
        assert (reply.status, reply.json()["reasons"]) == (503, ["the usage log cannot be written"])
        gateway.sink.available = True
        gateway.api.desk.stopping = True
        assert ask(gateway, path="/readyz", headers={}).json()["reasons"] == ["the gateway is stopping"]
        assert ask(gateway, path="/healthz", headers={}).status == 200


def test_before_anything_is_published() -> None:
    with running_gateway(published=False) as gateway:
        assert ask(gateway, path="/readyz").json()["reasons"] == ["nothing is published to this gateway"]
        reply = ask(gateway, chat("hi"))
        assert (reply.status, reply.error["code"]) == (503, "upstream_unavailable")
        assert "entrepot apply" in reply.error["message"]
        assert ask(gateway, path="/metrics").status == 200
