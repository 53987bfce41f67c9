"""What a request for text took is kept before its last bytes go out, however it ends."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from entrepot.adapters.served_journal import ServedJournalFile
from entrepot.core.errors import (
    ContextLengthExceeded,
    EntrepotError,
    InvalidRequest,
    UnsupportedValue,
    UpstreamUnavailable,
)
from entrepot.core.periods import SECOND
from entrepot.flows.serve_text import ServeText, TextExchange
from entrepot.ports.model_engine import Ending, PromptPart, Served
from entrepot.serving.json_schemas import any_object
from entrepot.serving.model_cards import CARDS
from tests.support.scripted_engine import ScriptedTextEngine

CARD = CARDS["smollm2-135m"]


class Noon:
    """A clock that stands."""

    def now(self) -> int:
        return 1_700_000_000 * SECOND


class Journal:
    """What was noted, in order."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, Served]] = []
        self._noted = asyncio.Event()

    async def reached(self, output_tokens: int) -> None:
        while self.lines[-1][1].output_tokens < output_tokens:
            self._noted.clear()
            await self._noted.wait()

    def begin(self, request_id: str) -> None:
        self.lines.append((request_id, Served("running")))

    def note(self, request_id: str, served: Served) -> None:
        self.lines.append((request_id, served))
        self._noted.set()

    def close(self, request_id: str, served: Served) -> None:
        self.lines.append((request_id, served))

    def find(self, request_id: str) -> Served | None:
        return dict(self.lines).get(request_id)


def begun(engine: ScriptedTextEngine, journal: Any, **fields: Any) -> Any:
    body = {"model": CARD.id, "prompt": "abc", **fields}
    return ServeText(CARD, engine, journal, Noon()).complete(json.dumps(body).encode(), "r1")


async def parts_of(exchange: TextExchange) -> list[bytes]:
    return [part async for part in exchange.parts()]


def events(parts: list[bytes]) -> list[Any]:
    lines = [line[6:] for line in b"".join(parts).split(b"\n\n") if line]
    return [json.loads(line) for line in lines if line != b"[DONE]"]


def test_usage_is_kept_before_the_last_bytes() -> None:
    journal = Journal()
    engine = ScriptedTextEngine((["x", "y"], Ending("stop", 3, 3)))

    async def run() -> None:
        exchange = await begun(engine, journal, stream=True, stream_options={"include_usage": True})
        seen = [(part, journal.lines[-1][1].state) async for part in exchange.parts()]
        assert [state for _, state in seen] == ["running", "running", "finished"]
        last = events([part for part, _ in seen])
        assert [event["choices"][0]["text"] for event in last[:3]] == ["x", "y", ""]
        assert last[2]["choices"][0]["finish_reason"] == "stop"
        assert last[3]["usage"] == {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        assert last[0]["created"] == 1_700_000_000
        assert seen[-1][0].endswith(b"data: [DONE]\n\n")

    asyncio.run(run())
    assert journal.lines[-1] == ("r1", Served("finished", 3, 3))


@pytest.mark.parametrize("stream", [False, True])
def test_an_abandoned_request_keeps_what_was_produced_and_says_no_more(stream: bool) -> None:
    journal = Journal()
    engine = ScriptedTextEngine((["x", "y"], None))

    async def run() -> list[bytes]:
        exchange = await begun(engine, journal, stream=stream)
        reading = asyncio.ensure_future(parts_of(exchange))
        await journal.reached(2)
        exchange.abandon()
        return await reading

    parts = asyncio.run(run())
    assert journal.lines[-1] == ("r1", Served("cancelled", 3, 2))
    assert b"[DONE]" not in b"".join(parts)
    assert len(parts) == (2 if stream else 0)


def test_a_failing_runtime_is_told_and_its_tokens_kept() -> None:
    journal = Journal()
    engine = ScriptedTextEngine((["x"], EntrepotError("broke")), (["y", "z"], None))

    async def run() -> None:
        with pytest.raises(EntrepotError, match="broke"):
            await parts_of(await begun(engine, journal, n=1))

    asyncio.run(run())
    assert journal.lines[-1] == ("r1", Served("cancelled", 3, 1))


def test_choices_count_their_prompt_once_and_get_their_own_seeds() -> None:
    journal = Journal()
    ending = Ending("length", 3, 2)
    engine = ScriptedTextEngine(*[(["x", "y"], ending)] * 4)

    async def run() -> list[bytes]:
        return await parts_of(await begun(engine, journal, prompt=["abc", "def"], n=2, seed=5, max_tokens=2))

    (body,) = asyncio.run(run())
    answer = json.loads(body)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert [work.sampling.seed for work in engine.started] == [5, 6, 5, 6]
    assert [work.prompt for work in engine.started] == [(97, 98, 99)] * 2 + [(100, 101, 102)] * 2
    assert answer["usage"]["prompt_tokens"] == 6
    assert journal.lines[-1] == ("r1", Served("finished", 6, 8))


def test_a_busy_model_refuses_and_nothing_was_used() -> None:
    journal = Journal()
    with pytest.raises(UpstreamUnavailable):
        asyncio.run(begun(ScriptedTextEngine(busy=True), journal))
    assert journal.lines[-1] == ("r1", Served("cancelled"))


def test_a_refused_request_never_came() -> None:
    journal = Journal()
    engine = ScriptedTextEngine()
    engine.refused_schemas.add(any_object())
    with pytest.raises(InvalidRequest):
        asyncio.run(begun(engine, journal, temperature=9))
    body = {
        "model": CARD.id,
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {"type": "json_object"},
    }
    with pytest.raises(UnsupportedValue, match="response_format"):
        asyncio.run(ServeText(CARD, engine, journal, Noon()).chat(json.dumps(body).encode(), "r2"))
    assert journal.lines == []


def test_a_tool_call_cut_short_ends_for_its_length(tmp_path: Any) -> None:
    engine = ScriptedTextEngine((['{"name": "weather", "argu', 'ments": {"ci'], Ending("length", 9, 2)))
    body = {
        "model": CARD.id,
        "messages": [{"role": "user", "content": "weather"}],
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "max_tokens": 2,
    }
    journal = ServedJournalFile(tmp_path / "served.jsonl")

    async def run() -> list[bytes]:
        service = ServeText(CARD, engine, journal, Noon())
        return await parts_of(await service.chat(json.dumps(body).encode(), "r1"))

    choice = json.loads(b"".join(asyncio.run(run())))["choices"][0]
    journal.shut()
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"ci'}


@pytest.mark.parametrize("prompt", ["x" * 4 * CARD.context_tokens, ["abc", "é" * 2 * CARD.context_tokens]])
def test_what_is_too_long_however_it_is_read_is_not_read(prompt: object) -> None:
    class Unread(ScriptedTextEngine):
        async def token_ids(self, parts: Sequence[PromptPart]) -> tuple[int, ...]:
            raise AssertionError("it was read")

    with pytest.raises(ContextLengthExceeded, match=f"at least {CARD.context_tokens} in the prompt") as refused:
        asyncio.run(begun(Unread(), Journal(), prompt=prompt, max_tokens=1))
    assert refused.value.param == "prompt"
