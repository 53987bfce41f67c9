"""The tier of service in requests and answers."""

import json

import pytest

from entrepot.core.errors import InvalidRequest
from entrepot.core.service_tiers import billed_tier, owed_tier
from entrepot.dialects.openai import read_event, read_request, read_whole
from entrepot.dialects.responses import read_answer as read_response
from entrepot.dialects.responses import read_event as read_response_event
from entrepot.dialects.service_tiers import tier_of, with_tier


@pytest.mark.parametrize(
    ("named", "tier"),
    [
        ("{}", "auto"),
        ('{"service_tier":null}', "auto"),
        ('{"service_tier":""}', "auto"),
        ('{"service_tier":"auto"}', "auto"),
        ('{"service_tier":"default"}', "default"),
        ('{"service_tier":"priority"}', "priority"),
        ('{"service_tier":"fast"}', "priority"),
        ('{"service_tier":"scale"}', "scale"),
    ],
)
def test_what_a_request_names(named: str, tier: str) -> None:
    assert tier_of(read_request(named.encode())) == tier


@pytest.mark.parametrize("body", [b'{"service_tier":1}', b'{"service_tier":["flex"]}', b'{"service_tier":"\xff"}'])
def test_what_is_no_text_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        tier_of(read_request(body))
    assert refused.value.param == "service_tier"


@pytest.mark.parametrize("written", [b'{"model":"m","n":1}', b'{"model":"m","service_tier":"auto","n":1}'])
@pytest.mark.parametrize("tier", ["default", "priority"])
def test_an_upstream_is_told_the_tier_it_serves_at(written: bytes, tier: str) -> None:
    sent = json.loads(read_request(written).at_tier(tier).write("upstream-model"))
    says = tier == "priority" or b"service_tier" in written
    assert sent == {"model": "upstream-model", "n": 1} | ({"service_tier": tier} if says else {})


def test_a_stream_still_asks_for_its_usage() -> None:
    sent = json.loads(read_request(b'{"model":"m","stream":true}').at_tier("flex").write("m"))
    assert sent == {"model": "m", "stream": True, "stream_options": {"include_usage": True}, "service_tier": "flex"}


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b'{"service_tier":"fast","a":1}', b'{"service_tier":"priority","a":1}'),
        (b'{"service_tier":"default","a":1}', b'{"service_tier":"default","a":1}'),
        (b'{"service_tier": "standard"}', b'{"service_tier": "default"}'),
        (b'{"service_tier" : null}', b'{"service_tier" : "priority"}'),
        (
            b'data: {"service_tier":"scale"}\n\ndata: [DONE]\n\n',
            b'data: {"service_tier":"priority"}\n\ndata: [DONE]\n\n',
        ),
        (b'{"a":"\\"service_tier\\":\\"default\\""}', b'{"a":"\\"service_tier\\":\\"default\\""}'),
        (b'{"metadata":{"service_tier":"of ours"}}', b'{"metadata":{"service_tier":"of ours"}}'),
        (b'{"a":1}', b'{"a":1}'),
    ],
)
def test_an_answer_says_the_tier_that_is_billed(answer: bytes, told: bytes) -> None:
    assert with_tier(answer, "priority") == told


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"choices":[{"finish_reason":"stop"}],"service_tier":"default"}', "default"),
        (b'{"choices":[{"text":5}],"service_tier":"priority"}', "priority"),  # Choices of a shape we do not know.
        (b'{"metadata":{"service_tier":"default"},"choices":[]}', ""),
        (b'{"choices":[{"service_tier":"default"}]}', ""),
        (b'{"choices":[{"finish_reason":"length"}],"service_tier":7}', ""),
        (b'{"service_tier":null}', ""),
        (b'{"service_tier":"st\\u0061ndard"}', ""),
    ],
)
def test_the_tier_an_answer_says(answer: bytes, said: str) -> None:
    """Whole, and as an event; what is said within it is of other things."""
    whole = read_whole(answer)
    assert whole is not None
    assert (whole.tier, read_event(answer).tier) == (said, said)
    response = read_response(answer)
    assert response is not None
    assert response.tier == said
    ended = b'{"type":"response.completed","response":' + answer + b',"service_tier":"default"}'
    assert read_response_event(ended).tier == said


@pytest.mark.parametrize(
    ("admitted", "said", "billed"),
    [
        ("priority", "default", "default"),
        ("priority", "standard", "default"),
        ("priority", "priority", "priority"),
        ("priority", "fast", "priority"),
        ("priority", "auto", "priority"),
        ("priority", "flex", "priority"),
        ("priority", "", "priority"),
        ("default", "priority", "default"),
        ("default", "flex", "default"),
        ("flex", "default", "flex"),
        ("flex", "priority", "flex"),
        ("batch", "default", "batch"),
    ],
)
def test_the_tier_that_is_billed(admitted: str, said: str, billed: str) -> None:
    assert billed_tier(admitted, said) == billed


@pytest.mark.parametrize(
    ("billed", "said", "owed"),
    [
        ("flex", "default", "default"),
        ("flex", "standard", "default"),
        ("flex", "", "flex"),
        ("flex", "flex", "flex"),
        ("default", "fast", "priority"),
        ("default", "auto", "default"),
        ("priority", "flex", "flex"),
        ("priority", "scale", "priority"),
        ("batch", "", "default"),
        ("batch", "default", "default"),
    ],
)
def test_an_upstream_is_owed_for_the_tier_it_says_it_served_at(billed: str, said: str, owed: str) -> None:
    assert owed_tier(billed, said) == owed
