"""What clients are told of limits, on answers and on refusals, in each dialect; and what a real client makes of it."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from entrepot.core.capacity import Limit, Measure, ServedLimit
from entrepot.core.periods import MINUTE, SECOND, parse_instant
from entrepot.edge.limit_fields import _duration
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import AZURE, Reply, ask, chat

AGES = 100 * 365 * 24 * 60 * MINUTE
PROMPT = "hello [[chunks=5]]"  # Of 1 token as its upstream counts, and of 28 bytes with its role and frame.
HELD = 28


def limit(measure: Measure, units: int, window: int = AGES, **more: Any) -> ServedLimit:
    refill: Any = "window" if window else "budget"
    counted = Limit(f"{measure}/{window}/{units}", measure, refill, units, window)
    return ServedLimit(counted, f"{measure}_per_minute", "the deployment search/chat")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(published=False) as running:
        yield running


def serve(gateway: Gateway, *limits: ServedLimit) -> None:
    gateway.serve(deployment("chat", target(gateway.upstream.base_url), limits=limits))


def fields(reply: Reply) -> dict[str, str]:
    return {name: value for name, value in reply.headers.items() if name.startswith("x-ratelimit")}


@pytest.mark.parametrize("azure", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_answers_say_how_both_limits_stand(gateway: Gateway, azure: bool, stream: bool) -> None:
    serve(gateway, limit("requests", 50), limit("tokens", 10_000))
    path = AZURE.format("chat") if azure else "/v1/chat/completions"
    body = chat(PROMPT, max_tokens=5, stream=stream)
    first, second = (ask(gateway, body, path=path) for _ in range(2))
    # A stream's head is written while its answer is held, a whole answer's when its usage is known.
    used = 6
    left = [10_000 - (HELD + 5), 10_000 - used - (HELD + 5)] if stream else [10_000 - used, 10_000 - 2 * used]
    for reply, requests, tokens in ((first, 49, left[0]), (second, 48, left[1])):
        assert reply.status == 200
        told = fields(reply)
        assert len(told) == 6
        assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-limit-tokens"]) == ("50", "10000")
        assert told["x-ratelimit-remaining-requests"] == str(requests)
        assert told["x-ratelimit-remaining-tokens"] == str(tokens)
        reset = told["x-ratelimit-reset-tokens"]
        assert reset.isdigit() if azure else re.fullmatch(r"\d+h\d+m\d+s", reset)


def test_requests_without_limits_are_told_nothing(gateway: Gateway) -> None:
    serve(gateway)
    assert fields(ask(gateway, chat(PROMPT))) == {}


def test_of_two_limits_of_tokens_the_one_with_less_left_is_told(gateway: Gateway) -> None:
    serve(gateway, limit("tokens", 10_000), limit("tokens", 500), limit("tokens", 700, 0))
    told = fields(ask(gateway, chat(PROMPT, max_tokens=5)))
    assert told["x-ratelimit-limit-tokens"] == "500"
    assert told["x-ratelimit-remaining-tokens"] == str(500 - 6)


@pytest.mark.parametrize("azure", [False, True])
def test_a_refusal_explains_itself(gateway: Gateway, azure: bool) -> None:
    serve(gateway, limit("requests", 50), limit("tokens", 60))
    path = AZURE.format("chat") if azure else "/v1/chat/completions"
    body = chat(PROMPT, max_tokens=20)
    assert ask(gateway, body, path=path).status == 200
    spent = 6
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(ask, gateway, chat("hi [[stall=0]]", max_tokens=1))
        eventually(lambda: len(gateway.upstream.served) == 2)
        refused = ask(gateway, body, path=path)
        gateway.let_go_on(gateway.upstream)
        assert held.result().status == 200
    assert refused.status == 429
    error = refused.error
    assert error["code"] == ("429" if azure else "rate_limit_exceeded")
    if not azure:
        assert error["type"] == "tokens"
        assert list(error) == ["message", "type", "param", "code", "entrepot"]
    in_flight = len("user") + len("hi [[stall=0]]") + 6 + 1
    why = error["entrepot"]
    assert (why["limit"], why["of"], why["measure"]) == ("tokens_per_minute", "the deployment search/chat", "tokens")
    assert (why["units"], why["used"], why["requested"]) == (60, spent + in_flight, HELD + 20)
    assert why["estimate"] == {"prompt_tokens": HELD, "output_tokens": 20}
    assert why["can_ever_fit"] is True
    assert refused.headers["retry-after-ms"] == str(why["retry_after_ms"])
    assert int(refused.headers["retry-after"]) == -(-why["retry_after_ms"] // 1000)
    assert refused.headers["x-should-retry"] == "true"
    assert abs(parse_instant(why["fits_at"]) - (gateway.api.now() + why["retry_after_ms"] * 1000)) < 10 * SECOND
    assert str(HELD + 20) in error["message"]
    told = fields(refused)
    assert told["x-ratelimit-remaining-tokens"] == str(60 - spent - in_flight)
    assert told["x-ratelimit-remaining-requests"] == "48"  # One that is refused counts nowhere.


def test_what_never_fits_is_not_to_be_tried_again(gateway: Gateway) -> None:
    serve(gateway, limit("tokens", 40))
    never = ask(gateway, chat(PROMPT, max_tokens=20))
    assert (never.status, never.headers["x-should-retry"]) == (400, "false")
    assert never.error["entrepot"]["can_ever_fit"] is False
    assert never.error["entrepot"]["fits_at"] is None
    assert "retry-after" not in never.headers


def client(gateway: Gateway, **given: Any) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/v1", **given)


def say(client: openai.OpenAI, **given: Any) -> Any:
    return client.chat.completions.create(
        model="chat", messages=[{"role": "user", "content": PROMPT}], **{"max_tokens": 5} | given
    )


def test_the_python_client_waits_as_long_as_it_is_told_and_is_served(gateway: Gateway) -> None:
    serve(gateway, limit("requests", 1, SECOND))
    with client(gateway, max_retries=3) as patient:
        for _ in range(3):
            assert say(patient).choices[0].message.content
    codes = gateway.api.tally.errors
    assert codes["rate_limit_exceeded"] <= 4, codes  # It has come once too early for each, or hardly more.


def test_the_python_client_gives_up_at_once_where_trying_again_cannot_help(gateway: Gateway) -> None:
    serve(gateway, limit("tokens", 40))
    with client(gateway, max_retries=5) as patient:
        with pytest.raises(openai.BadRequestError) as never:
            say(patient, max_tokens=100)
        assert never.value.code == "request_never_fits"
        assert isinstance(never.value.body, dict)
        assert never.value.body["entrepot"]["limit"] == "tokens_per_minute"
    assert gateway.api.tally.errors == {"request_never_fits": 1}


def test_what_limits_do_is_counted(gateway: Gateway) -> None:
    serve(gateway, limit("requests", 2), limit("tokens", 1_000))
    for _ in range(3):
        ask(gateway, chat(PROMPT, max_tokens=5))
    lines = ask(gateway, path="/metrics").body.decode().splitlines()
    counted = dict(line.rsplit(" ", 1) for line in lines if line.startswith("entrepot_limit_"))
    assert counted["entrepot_limit_holds_total"] == "2"
    assert counted['entrepot_limit_units_total{measure="requests"}'] == "2"
    assert counted['entrepot_limit_units_total{measure="tokens"}'] == str(2 * (HELD + 5))
    refused = 'entrepot_limit_refusals_total{limit="requests_per_minute",code="rate_limit_exceeded"}'
    assert counted[refused] == "1"
    assert counted['entrepot_limit_draws_total{result="short"}'] == "1"


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (0, "0ms"),
        (16_001, "17ms"),
        (SECOND, "1s"),
        (5_250_000, "5.25s"),
        (6 * MINUTE, "6m0s"),
        (90 * MINUTE, "1h30m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(us: int, text: str) -> None:
    assert _duration(us) == text
