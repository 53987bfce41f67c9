"""Responses that an upstream has stored: told and gone on from for the project that made them, and for nobody else."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import AzureOpenAI, OpenAI

from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import Admitted, UsageRecorded
from entrepot.core.snapshot import GatewaySnapshot, ServedKey, ServedProject
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import KEY, Gateway, deployment, running_gateway, snapshot, target
from tests.support.operations import client_of
from tests.support.requests import ask

OTHERS_KEY = "ek-a-key-of-another-customer"


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """A gateway of two customers, each with a deployment of the same upstream; and `elsewhere`, with one of its own."""
    with running_gateway(published=False) as gateway:
        elsewhere = gateway.run(ScriptedUpstream().start())
        here = deployment("gpt", target(gateway.upstream.base_url), operations=("responses",))
        there = deployment("elsewhere", target(elsewhere.base_url, "there"), operations=("responses",))
        published = snapshot(here, there)
        projects = {**published.projects, "other": ServedProject("other", "rival", {"gpt": here})}
        keys = {**published.keys, key_digest(OTHERS_KEY): ServedKey("key-2", "other")}
        gateway.adopt(GatewaySnapshot(**{**_fields(published), "projects": projects, "keys": keys}))
        yield gateway
        gateway.run(elsewhere.stop())


def _fields(published: GatewaySnapshot) -> dict[str, Any]:
    return {name: getattr(published, name) for name in published.__struct_fields__}


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    gateway.sink.records.clear()
    gateway.upstream.responses.asked.clear()
    with client_of(gateway) as client:
        yield client


@pytest.fixture
def rival(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(api_key=OTHERS_KEY, base_url=gateway.url + "/v1", max_retries=0) as client:
        yield client


def test_a_stored_response_is_told_again(gateway: Gateway, client: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi", metadata={"of": "mine"})
    assert made.metadata == {"of": "mine", "entrepot_project": "search"}
    told = client.responses.retrieve(made.id, include=["message.output_text.logprobs"])
    assert told.output_text == made.output_text
    assert client.responses.input_items.list(made.id, limit=5).data == []
    assert gateway.upstream.responses.asked == [
        f"GET /v1/responses/{made.id}?include%5B%5D=message.output_text.logprobs",
        f"GET /v1/responses/{made.id}",
        f"GET /v1/responses/{made.id}/input_items?limit=5",
    ]
    assert len(gateway.of(Admitted)) == len(gateway.of(UsageRecorded)) == 1


def test_it_is_told_as_events(client: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi")
    events = list(client.responses.retrieve(made.id, stream=True))
    assert [event.type for event in events] == ["response.created", "response.completed"]


def test_it_is_deleted(client: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi")
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.retrieve(made.id)
    assert refused.value.code == "not_found"


def test_an_upstreams_own_refusal_comes_through(client: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.cancel(made.id)
    assert refused.value.code == "not_background"


def test_it_is_found_at_the_upstream_that_has_it(client: OpenAI) -> None:
    made = client.responses.create(model="elsewhere", input="hi")
    assert client.responses.retrieve(made.id).id == made.id


def test_it_is_gone_on_from(gateway: Gateway, client: OpenAI) -> None:
    first = client.responses.create(model="gpt", input="hi")
    second = client.responses.create(model="gpt", input="and then", previous_response_id=first.id, stream=True)
    assert list(second)[-1].type == "response.completed"
    third = client.responses.create(model="gpt", input="again", previous_response_id=first.id)
    assert third.previous_response_id == first.id
    assert len(gateway.of(UsageRecorded)) == 3


def test_only_where_it_is(client: OpenAI) -> None:
    made = client.responses.create(model="elsewhere", input="hi")
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="gpt", input="hi", previous_response_id=made.id)


def test_nobody_else_has_it(gateway: Gateway, client: OpenAI, rival: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="a secret")
    gateway.sink.records.clear()
    gateway.upstream.responses.asked.clear()
    attempts: list[Any] = [
        lambda: rival.responses.retrieve(made.id),
        lambda: list(rival.responses.retrieve(made.id, stream=True)),
        lambda: rival.responses.delete(made.id),
        lambda: rival.responses.cancel(made.id),
        lambda: rival.responses.input_items.list(made.id),
        lambda: rival.responses.create(model="gpt", input="repeat that", previous_response_id=made.id),
        lambda: rival.responses.compact(model="gpt", previous_response_id=made.id),
    ]
    for attempt in attempts:
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert set(gateway.upstream.responses.asked) == {
        f"GET /v1/responses/{made.id}",
    }
    assert gateway.sink.records == []
    assert client.responses.retrieve(made.id).output_text == made.output_text


def test_nobody_can_mark_a_response_as_anothers(client: OpenAI, rival: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi", metadata={"entrepot_project": "other"})
    assert client.responses.retrieve(made.id).id == made.id
    with pytest.raises(openai.NotFoundError):
        rival.responses.retrieve(made.id)


def test_what_is_not_stored_is_not_marked(gateway: Gateway, client: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi", store=False)
    assert made.metadata == {}
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    assert next(reversed(gateway.upstream.served.values())).body["store"] is False


@pytest.mark.parametrize("name", ["a%2Fb", "..%2Fmodels", "x%20y", "%0d%0aX-Evil:1", "a" * 300])
def test_an_id_that_can_be_none_goes_nowhere(gateway: Gateway, client: OpenAI, name: str) -> None:
    del client
    reply = ask(gateway, path=f"/v1/responses/{name}")
    assert (reply.status, reply.error["code"]) == (404, "not_found")
    assert gateway.upstream.responses.asked == []


def test_azures_route(gateway: Gateway, client: OpenAI) -> None:
    made = client.responses.create(model="gpt", input="hi")
    azure = AzureOpenAI(api_key=KEY, azure_endpoint=gateway.url, api_version="2025-04-01-preview", max_retries=0)
    with azure:
        assert azure.responses.retrieve(made.id).id == made.id
    assert gateway.upstream.responses.asked[-1] == f"GET /v1/responses/{made.id}"


def test_an_upstream_that_cannot_be_asked(gateway: Gateway, client: OpenAI) -> None:
    before = gateway.flow.snapshot
    assert before is not None
    gateway.serve(deployment("gpt", target("http://127.0.0.1:1/v1", "gone"), operations=("responses",)))
    try:
        with pytest.raises(openai.InternalServerError) as refused:
            client.responses.retrieve("resp_1")
        assert refused.value.code == "upstream_unavailable"
    finally:
        gateway.adopt(before)
