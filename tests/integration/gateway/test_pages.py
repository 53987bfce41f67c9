"""Pages of other origins that ask for themselves, through browsers: OpenAI's routes take them, all others do not."""

from collections.abc import Iterator

import pytest

from tests.support.gateway import KEY, Gateway, running_gateway
from tests.support.requests import AZURE, Reply, ask, chat

PAGE = {"Origin": "https://page.example", "Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
OPEN = {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
WANTED = "authorization,content-type,x-stainless-lang"
UNDATED = ["/v1/chat/completions", "/openai/v1/chat/completions", "/v1/models", "/v1/files", "/v1/responses/resp_1"]
SHUT = [AZURE.format("chat"), "//openai/models?api-version=2024-10-21", "/v1/realtime", "/healthz", "/metrics"]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def said(reply: Reply) -> dict[str, str]:
    """What an answer says to browsers."""
    return {name: value for name, value in reply.headers.items() if name.startswith("access-control-")}


def preflight(gateway: Gateway, path: str, **more: str) -> Reply:
    headers = {"Origin": "null", "Access-Control-Request-Method": "POST", **more}
    return ask(gateway, path=path, method="OPTIONS", headers=headers)


@pytest.mark.parametrize("path", UNDATED)
def test_a_browser_may_ask_without_a_key_what_its_page_may(gateway: Gateway, path: str) -> None:
    reply = preflight(gateway, path, **{"Access-Control-Request-Headers": WANTED})
    assert (reply.status, reply.body) == (200, b"")
    told = said(reply)
    assert told.pop("access-control-allow-methods") in {"POST", "GET, HEAD", "GET, POST", "GET, DELETE"}
    assert told == OPEN | {"access-control-allow-headers": WANTED, "access-control-max-age": "7200"}


@pytest.mark.parametrize("names", ["", "x-a: b", "a" * 4001, "x-\xe9"])
def test_names_that_are_none_are_not_given_back(gateway: Gateway, names: str) -> None:
    reply = preflight(gateway, "/v1/models", **{"Access-Control-Request-Headers": names})
    assert reply.status == 200
    assert "access-control-allow-headers" not in reply.headers


@pytest.mark.parametrize("path", SHUT)
def test_other_routes_say_nothing_to_pages(gateway: Gateway, path: str) -> None:
    reply = preflight(gateway, path)
    assert (reply.status, said(reply)) == (405, {})
    body = chat("hi") if "chat" in path else b""
    assert said(ask(gateway, body, path=path, headers=PAGE)) == {}


@pytest.mark.parametrize("prompt", ["hi", "[[status=500]]", "[[status=429]]"])
@pytest.mark.parametrize("stream", [True, False])
def test_a_page_may_read_every_answer(gateway: Gateway, prompt: str, stream: bool) -> None:
    reply = ask(gateway, chat(prompt, stream=stream), headers=PAGE)
    assert reply.status in {200, 429, 500}
    assert said(reply) == OPEN


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/nothing", "/nothing"])
def test_a_page_may_read_why_it_was_refused(gateway: Gateway, path: str) -> None:
    reply = ask(gateway, chat("hi"), path=path, headers=PAGE | {"Authorization": "Bearer wrong"})
    assert reply.status in {401, 404}
    assert said(reply) == OPEN


def test_nobody_else_is_told_of_it(gateway: Gateway) -> None:
    assert said(ask(gateway, chat("hi"))) == {}
    assert ask(gateway, path="/v1/models", method="OPTIONS").status == 405
