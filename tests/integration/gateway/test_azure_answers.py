"""What only Azure says: what its content filter found, as both dialects pass it on, and where an answer came from."""

from collections.abc import Iterator
from typing import Any

import pytest

from entrepot.core.upstream_rules import UpstreamRules
from tests.support.gateway import KEY, Gateway, deployment, running_gateway, target
from tests.support.requests import AZURE, Reply, ask, chat

BLOCKED = "hi [[status=400 code=content_filter{}]]"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        somewhere = deployment("somewhere", target(running.upstream.base_url, "nowhere"))
        chats = deployment("chat", target(running.upstream.base_url))
        running.serve(chats, somewhere, up=UpstreamRules(region="eastus"))
        yield running


def blocked(gateway: Gateway, script: str = "", *, azure: bool, stream: bool = False) -> dict[str, Any]:
    """The error, beside the members that OpenAI's always has."""
    body = chat(BLOCKED.format(script), stream=stream)
    refused = ask(gateway, body, path=AZURE.format("chat"), headers={"api-key": KEY}) if azure else ask(gateway, body)
    assert (refused.status, refused.error["code"]) == (400, "content_filter")
    assert str(gateway.upstream.port) not in refused.body.decode()
    return {name: value for name, value in refused.error.items() if name not in {"message", "type", "param", "code"}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("member", ["innererror", "inner_error"])
@pytest.mark.parametrize("azure", [False, True])
def test_what_azures_filter_says_is_passed_on(gateway: Gateway, member: str, azure: bool, stream: bool) -> None:
    told = blocked(gateway, f" inner={member}", azure=azure, stream=stream)
    assert told.pop("status", None) == (400 if azure else None)
    assert list(told) == [member]
    assert told[member]["code"] == "ResponsibleAIPolicyViolation"
    assert told[member]["content_filter_result"]["violence"] == {"filtered": True, "severity": "high"}
    assert "[upstream]" in told[member]["content_filter_result"]["told_by"]


def test_of_a_filter_that_says_no_more_azures_clients_read_the_code_they_look_for(gateway: Gateway) -> None:
    assert blocked(gateway, azure=False) == {}
    assert blocked(gateway, azure=True) == {
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }


def test_other_errors_have_nothing_of_it(gateway: Gateway) -> None:
    refused = ask(gateway, chat("hi [[status=400]]"), path=AZURE.format("chat"), headers={"api-key": KEY})
    assert sorted(refused.error) == ["code", "message", "param", "type"]


def say(gateway: Gateway, name: str, *, stream: bool = False) -> Reply:
    return ask(gateway, chat("hi", stream=stream), path=AZURE.format(name), headers={"api-key": KEY})


def test_azures_routes_say_where_they_were_answered(gateway: Gateway) -> None:
    assert [say(gateway, "chat", stream=stream).headers["x-ms-region"] for stream in (False, True)] == ["eastus"] * 2
    assert "x-ms-region" not in say(gateway, "somewhere").headers
    assert "x-ms-region" not in ask(gateway, chat("hi")).headers
