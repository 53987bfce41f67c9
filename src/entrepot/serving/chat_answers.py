"""Answers to chat requests."""

import hashlib
from collections.abc import Iterable, Sequence

from entrepot.ports.model_engine import Ending, Piece, TokenChance, TokenChoice
from entrepot.serving.answers import Json, TextAnswer
from entrepot.serving.tool_calls import written_call

_NEVER = -9999.0  # What OpenAI shows for a token that cannot come; JSON has no infinity.


class ChatAnswer(TextAnswer):
    """An answer in words."""

    def _kind(self, *, streamed: bool) -> tuple[str, str]:
        return "chatcmpl", "chat.completion.chunk" if streamed else "chat.completion"

    def _openings(self) -> Iterable[Json]:
        for index in range(len(self._written)):
            yield _streamed(index, {"role": "assistant", "content": "", "refusal": None})

    def _delta(self, index: int, piece: Piece) -> Json | None:
        if not piece.text and not piece.chances:
            return None
        return _streamed(index, {"content": piece.text}, self._shown(piece.chances))

    def _ends(self, index: int, ending: Ending) -> Iterable[Json]:
        yield _streamed(index, {}, reason=ending.reason)

    def _whole(self, index: int, ending: Ending) -> Json:
        written = self._written[index]
        message = {"role": "assistant", "content": written.whole(), "refusal": None}
        shown = self._shown(written.chances)
        return {"index": index, "message": message, "logprobs": shown, "finish_reason": ending.reason}

    def _shown(self, chances: Sequence[TokenChoice]) -> Json | None:
        if not self._logprobs:
            return None
        return {"content": [_choice(choice) for choice in chances], "refusal": None}


class ToolCallAnswer(ChatAnswer):
    """An answer that is a tool call. Streamed, the call comes whole at the end."""

    def _openings(self) -> Iterable[Json]:
        for index in range(len(self._written)):
            yield _streamed(index, {"role": "assistant", "content": None, "refusal": None})

    def _delta(self, index: int, piece: Piece) -> Json | None:
        if not self._logprobs or not piece.chances:
            return None
        return _streamed(index, {}, self._shown(piece.chances))

    def _ends(self, index: int, ending: Ending) -> Iterable[Json]:
        calls = self._calls(index)
        if calls:
            yield _streamed(index, {"tool_calls": [{"index": 0, **calls[0]}]})
        yield _streamed(index, {}, reason=_reason(ending))

    def _whole(self, index: int, ending: Ending) -> Json:
        calls = self._calls(index)
        message: Json = {
            "role": "assistant",
            "content": None,
            "refusal": None,
            **({"tool_calls": calls} if calls else {}),
        }
        shown = self._shown(self._written[index].chances)
        return {"index": index, "message": message, "logprobs": shown, "finish_reason": _reason(ending)}

    def _calls(self, index: int) -> list[Json]:
        call = written_call(self._written[index].whole())
        if call is None:
            return []
        digest = hashlib.sha256(f"{self._heading.request_id}/{index}".encode()).hexdigest()
        function = {"name": call.name, "arguments": call.arguments}
        return [{"id": f"call_{digest[:24]}", "type": "function", "function": function}]


def _reason(ending: Ending) -> str:
    return "tool_calls" if ending.reason == "stop" else ending.reason


def _streamed(index: int, delta: Json, logprobs: Json | None = None, reason: str | None = None) -> Json:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}


def _choice(choice: TokenChoice) -> Json:
    return {**_chance(choice.taken), "top_logprobs": [_chance(chance) for chance in choice.likeliest]}


def _chance(chance: TokenChance) -> Json:
    return {"token": chance.text, "logprob": max(chance.logprob, _NEVER), "bytes": list(chance.raw)}
