"""How long a request was where, for clients that ask; and nothing for those that do not."""

import json
import re

from tests.support.gateway import KEY, running_gateway
from tests.support.requests import ask, chat

ASKING = {"Authorization": f"Bearer {KEY}", "x-entrepot-timing": "1"}


def told(text: str) -> tuple[dict[str, float], dict[str, str]]:
    """({stage: ms}, {meter: units}) of a server-timing value."""
    durations = {name: float(value) for name, value in re.findall(r"([a-z]+);dur=([0-9.]+)", text)}
    return durations, dict(re.findall(r'([a-z-]+);desc="([0-9]+)"', text))


def test_an_answer_says_where_its_time_went_and_what_it_used() -> None:
    with running_gateway() as gateway:
        reply = ask(gateway, chat("two words [[chunks=4 delay=0.01]]"), headers=ASKING)
    durations, meters = told(reply.headers["server-timing"])
    assert list(durations) == ["identity", "route", "connect", "upstream", "log", "total"]
    assert durations["upstream"] > 10
    parts = sum(value for name, value in durations.items() if name != "total")
    assert 0.9 * durations["total"] <= parts <= durations["total"] + 0.01
    assert meters == {"input-tokens": "2", "output-tokens": "4"}


def test_a_stream_says_it_twice_at_its_head_and_as_a_comment_before_its_end() -> None:
    with running_gateway() as gateway:
        reply = ask(gateway, chat("hi [[chunks=3 delay=0.01]]", stream=True), headers=ASKING)
    assert list(told(reply.headers["server-timing"])[0]) == ["identity", "route", "connect", "upstream", "total"]
    blocks = reply.body.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    durations, meters = told(blocks[-3].removeprefix(": server-timing: "))
    assert list(durations) == ["identity", "route", "connect", "upstream", "relay", "log", "total"]
    assert durations["relay"] > 10
    assert meters == {"input-tokens": "1", "output-tokens": "3"}
    assert all(json.loads(block.removeprefix("data: ")) for block in blocks[:-3])


def test_a_refusal_says_what_there_is() -> None:
    with running_gateway() as gateway:
        reply = ask(gateway, chat("hi", model="none"), headers=ASKING)
    assert list(told(reply.headers["server-timing"])[0]) == ["identity", "total"]


def test_who_does_not_ask_gets_none() -> None:
    with running_gateway() as gateway:
        for stream in (False, True):
            reply = ask(gateway, chat("hi", stream=stream))
            assert "server-timing" not in reply.headers
            assert b"server-timing" not in reply.body
