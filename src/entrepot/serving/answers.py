"""Answers to requests for text: whole bodies or streams of server-sent events, in OpenAI's shapes.

An answer is fed with pieces as they come and asked for its closing once its usage is kept. Streamed or not, what it
returns is to be sent in order.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from entrepot.ports.model_engine import Ending, Piece, Served, TokenChoice
from entrepot.serving.served_usage import usage_of

Json = dict[str, object]

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Heading:
    """What every body and event of an answer repeats. created: seconds since the epoch."""

    request_id: str
    model: str
    created: int


@dataclass(slots=True)
class Written:
    """One choice as written so far."""

    text: list[str] = field(default_factory=list)
    chances: list[TokenChoice] = field(default_factory=list)

    def whole(self) -> str:
        """All of its text."""
        return "".join(self.text)


class TextAnswer(ABC):
    """An answer in the making. logprobs: the caller asked for probabilities."""

    def __init__(
        self, heading: Heading, choices: int, *, streamed: bool, usage_in_stream: bool, logprobs: bool
    ) -> None:
        self._heading = heading
        self._streamed = streamed
        self._usage_in_stream = usage_in_stream
        self._logprobs = logprobs
        self._written = [Written() for _ in range(choices)]

    def opening(self) -> bytes:
        """What can be sent before the model has begun; empty for a body sent whole."""
        return b"".join(self._event(choice) for choice in self._openings()) if self._streamed else b""

    def feed(self, index: int, piece: Piece) -> bytes:
        """Takes a piece of a choice in; what can be sent now."""
        written = self._written[index]
        written.text.append(piece.text)
        written.chances.extend(piece.chances)
        choice = self._delta(index, piece)
        return self._event(choice) if self._streamed and choice is not None else b""

    def closing(self, endings: Sequence[Ending], served: Served) -> bytes:
        """The rest of the answer, to be sent only after its usage is kept."""
        if not self._streamed:
            choices = [self._whole(index, ending) for index, ending in enumerate(endings)]
            return msgspec.json.encode({**self._head(streamed=False), "choices": choices, "usage": usage_of(served)})
        events = [self._event(choice) for index, ending in enumerate(endings) for choice in self._ends(index, ending)]
        if self._usage_in_stream:
            events.append(_sse({**self._head(streamed=True), "choices": [], "usage": usage_of(served)}))
        return b"".join([*events, _DONE])

    def _event(self, choice: Json) -> bytes:
        usage: Json = {"usage": None} if self._usage_in_stream else {}
        return _sse({**self._head(streamed=True), "choices": [choice], **usage})

    def _head(self, *, streamed: bool) -> Json:
        prefix, kind = self._kind(streamed=streamed)
        heading = self._heading
        return {
            "id": f"{prefix}-{heading.request_id}",
            "object": kind,
            "created": heading.created,
            "model": heading.model,
        }

    @abstractmethod
    def _kind(self, *, streamed: bool) -> tuple[str, str]:
        """The prefix of its id and its `object`."""

    @abstractmethod
    def _openings(self) -> Iterable[Json]:
        """A stream's first event of each choice."""

    @abstractmethod
    def _delta(self, index: int, piece: Piece) -> Json | None:
        """A stream's event for a piece, if it makes one."""

    @abstractmethod
    def _ends(self, index: int, ending: Ending) -> Iterable[Json]:
        """A stream's last events of a choice."""

    @abstractmethod
    def _whole(self, index: int, ending: Ending) -> Json:
        """A choice of a body sent whole."""


def _sse(value: Json) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
