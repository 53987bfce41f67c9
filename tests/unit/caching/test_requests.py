"""Which requests an earlier answer may serve, and when two of them are the same."""

import json

import msgspec
import pytest

from entrepot.caching.requests import Fields, Wishes, is_cached, request_key, wishes_of
from entrepot.core.snapshot import ServedProject
from tests.support.gateway import deployment

PROJECT = ServedProject("search", "acme", {})
CHAT = msgspec.structs.replace(deployment("chat"), revision="gpt@1 up=gpt")


def fields(**members: object) -> Fields:
    return read(json.dumps({"model": "chat", "messages": [{"role": "user", "content": "hi"}], **members}))


def read(body: str) -> Fields:
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


def key(asked: Fields) -> str:
    return request_key(PROJECT, CHAT, "chat", asked)


@pytest.mark.parametrize("members", [{"temperature": 0}, {"temperature": 0.0}, {"temperature": -0.0}, {"seed": 7}])
def test_a_request_for_the_same_answer_again_is_cached(members: dict[str, object]) -> None:
    assert is_cached("chat", fields(**members), "repeatable")


@pytest.mark.parametrize("members", [{}, {"temperature": 0.1}, {"temperature": None}, {"temperature": "0"}])
def test_any_other_only_where_all_are(members: dict[str, object]) -> None:
    assert not is_cached("chat", fields(**members), "repeatable")
    assert is_cached("chat", fields(**members), "all")


def test_embeddings_are_the_same_every_time() -> None:
    assert is_cached("embeddings", read('{"model": "e", "input": "x"}'), "repeatable")


def test_what_is_to_be_found_at_the_upstream_afterwards_goes_there() -> None:
    assert not is_cached("chat", fields(seed=1, store=True), "all")
    assert is_cached("chat", fields(seed=1, store=False), "all")


def test_what_does_not_decide_the_answer_does_not_count() -> None:
    same = {key(fields()), key(fields(user="a")), key(fields(metadata={"a": "b"}, model="other", store=False))}
    assert same == {key(read('{"messages": [{"role": "user", "content": "hi"}]}'))}


def test_the_order_of_fields_does_not_count() -> None:
    assert key(read('{"a": 1, "b": 2}')) == key(read('{"b": 2, "a": 1}'))


def test_everything_else_counts() -> None:
    asked = [
        fields(), fields(stream=True), fields(stream=False), fields(temperature=0), fields(seed=1), fields(n=2),
        fields(stream=True, stream_options={"include_usage": True}), fields(new_field=None),
        read('{"messages": [{"role": "user", "content": "ho"}]}'),
    ]  # fmt: skip
    assert len({key(item) for item in asked}) == len(asked)


def test_nothing_is_shared_between_customers_projects_deployments_models_or_their_versions() -> None:
    asked = fields()
    changed = msgspec.structs.replace
    keys = [
        key(asked),
        request_key(changed(PROJECT, customer="other"), CHAT, "chat", asked),
        request_key(changed(PROJECT, id="other"), CHAT, "chat", asked),
        request_key(PROJECT, changed(CHAT, name="other"), "chat", asked),
        request_key(PROJECT, changed(CHAT, model="other"), "chat", asked),
        request_key(PROJECT, changed(CHAT, revision="gpt@2 up=gpt"), "chat", asked),
        request_key(PROJECT, CHAT, "completions", asked),
        request_key(ServedProject("chs", "acmesear", {}), CHAT, "chat", asked),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(item) == 64 for item in keys)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (b"", Wishes(takes=True, leaves=True)),
        (b"max-age=0", Wishes(takes=True, leaves=True)),
        (b"no-cache", Wishes(takes=False, leaves=True)),
        (b"No-Cache , max-age=0", Wishes(takes=False, leaves=True)),
        (b"no-store", Wishes(takes=False, leaves=False)),
        (b"no-cache, no-store", Wishes(takes=False, leaves=False)),
    ],
)
def test_what_a_client_says(said: bytes, meant: Wishes) -> None:
    assert wishes_of(said) == meant
