"""The tier of service in requests and answers."""

import json

import pytest

from entrepot.core.errors import InvalidRequest
from entrepot.dialects.openai import read_request
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
        (b'{"service_tier":"default","a":1}', b'{"service_tier":"priority","a":1}'),
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
