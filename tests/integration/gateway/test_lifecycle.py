"""A model's life as its customers see it: granted, for all, deprecated, retired; by date, from one snapshot."""

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from entrepot.core.lifecycle import StageFrom
from entrepot.core.periods import END_OF_TIME, SECOND
from entrepot.core.snapshot import ServedDeployment
from tests.support.gateway import KEY, Gateway, deployment, running_gateway, target
from tests.support.requests import AZURE, Reply, ask, chat

SINCE = StageFrom(1_700_000_000 * SECOND, "deprecated")
RETIRED = StageFrom(END_OF_TIME - 1, "retired")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        yield running


def serve(gateway: Gateway, **more: Any) -> None:
    gateway.serve(one(gateway, **more))


def one(gateway: Gateway, name: str = "chat", **more: Any) -> ServedDeployment:
    return deployment(name, target(gateway.upstream.base_url), **more)


def say(gateway: Gateway, *, stream: bool = False) -> Reply:
    return ask(gateway, chat("hello", stream=stream))


def listed(gateway: Gateway, path: str = "/v1/models") -> list[dict[str, Any]]:
    reply = ask(gateway, path=path)
    assert reply.status == 200
    data: list[dict[str, Any]] = reply.json()["data"]
    return data


@pytest.mark.parametrize("stream", [False, True])
def test_answers_of_a_deprecated_model_say_since_when_and_until_when(gateway: Gateway, stream: bool) -> None:
    serve(gateway, stages=(SINCE, StageFrom(4_000_000_000 * SECOND, "retired")))
    told = say(gateway, stream=stream)
    assert told.status == 200
    assert told.headers["deprecation"] == "@1700000000"
    assert parsedate_to_datetime(told.headers["sunset"]).timestamp() == 4_000_000_000


def test_before_it_is_deprecated_nothing_is_said(gateway: Gateway) -> None:
    serve(gateway, stages=(RETIRED,))
    told = say(gateway)
    assert told.status == 200
    assert not {"deprecation", "sunset"} & told.headers.keys()


def test_a_date_retires_a_model(gateway: Gateway) -> None:
    serve(gateway, stages=(StageFrom(0, "deprecated"), StageFrom(SINCE.begins, "retired")))
    gone = say(gateway)
    assert (gone.status, gone.error["code"]) == (410, "model_retired")
    assert listed(gateway) == []


@pytest.mark.parametrize("stage", ["preview", "early_access"])
def test_before_it_is_for_all_it_needs_a_grant(gateway: Gateway, stage: str) -> None:
    serve(gateway, stage=stage, granted=((0, SINCE.begins),))  # It is over.
    refused = say(gateway)
    assert (refused.status, refused.error["code"]) == (403, "permission_denied")
    assert "no grant" in refused.error["message"]
    assert listed(gateway) == []
    serve(gateway, stage=stage, granted=((SINCE.begins, END_OF_TIME),))
    assert say(gateway).status == 200
    assert [item["lifecycle_status"] for item in listed(gateway)] == ["preview"]


def test_lists_of_models_say_what_azure_says(gateway: Gateway) -> None:
    gateway.serve(one(gateway), one(gateway, "going", stages=(SINCE, StageFrom(4_000_000_000 * SECOND, "retired"))))
    plain, going = listed(gateway)
    assert plain == {"id": "chat", "object": "model", "created": 0, "owned_by": "maker"}
    assert (going["lifecycle_status"], going["deprecation"]) == ("deprecated", {"inference": 4_000_000_000})
    plain, going = listed(gateway, "/openai/models?api-version=2024-10-21")
    assert plain["lifecycle_status"] == "generally-available"
    assert (going["lifecycle_status"], going["deprecation"]) == ("deprecated", {"inference": 4_000_000_000})


def test_azure_has_its_own_shape(gateway: Gateway) -> None:
    serve(gateway, stage="preview")
    refused = ask(gateway, chat("hello"), path=AZURE.format("chat"), headers={"api-key": KEY})
    assert (refused.status, refused.error["code"]) == (401, "PermissionDenied")
