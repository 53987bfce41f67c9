"""Model runtimes and the record of what they served: what a model process asks of the outside.

A prompt is a row of parts, so that text from a caller can never be read as one of the model's control markers.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

ServedState = Literal["running", "finished", "cancelled"]


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A stretch of a prompt. marker: the text is one control marker of the model, else it is only text."""

    text: str
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. top_logprobs None: no chances wanted. json_schema: JSON text the output must follow."""

    output_tokens_max: int
    temperature: float
    top_p: float
    top_k: int = 0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    top_logprobs: int | None = None
    json_schema: str | None = None
    ignore_end: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """One text to generate."""

    prompt: tuple[int, ...]
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class TokenChance:
    """A token and the natural logarithm of its probability before sampling."""

    text: str
    raw: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """The token that was taken and the likeliest ones at its place, likeliest first."""

    taken: TokenChance
    likeliest: tuple[TokenChance, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """New text of a generation. output_tokens: all produced up to here. The first piece is empty: work has begun."""

    text: str
    output_tokens: int
    chances: tuple[TokenChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a generation ended and what it took. prompt_tokens 0: it was stopped before any work was done."""

    reason: Literal["stop", "length", "cancelled"]
    prompt_tokens: int
    output_tokens: int
    cached_tokens: int = 0


class Generation(Protocol):
    """One running generation."""

    def pieces(self) -> AsyncIterator[Piece]:
        """What is produced, as it comes; ends when the generation does. To be read by one reader, once."""
        ...

    async def ended(self) -> Ending:
        """How it ended, once it has. Raises: EntrepotError when the runtime failed."""
        ...

    def stop(self) -> None:
        """Asks it to end at the next token or prompt slice; no effect on an ended one."""
        ...


class TextEngine(Protocol):
    """A runtime with one text model loaded. Several generations run at once, the rest wait their turn."""

    async def token_ids(self, parts: Sequence[PromptPart]) -> tuple[int, ...]:
        """The tokens of a prompt, exactly as the model reads it. However long it is, nothing else waits for it."""
        ...

    @property
    def vocabulary_size(self) -> int:
        """Token ids are 0 up to here, half-open."""
        ...

    @property
    def token_bytes_max(self) -> int:
        """The longest text that is one token, in bytes of UTF-8."""
        ...

    def start(self, work: Sequence[Work]) -> list[Generation]:
        """A generation each, at work or waiting. Raises: UpstreamUnavailable, none started, when too many wait."""
        ...

    async def can_follow(self, json_schema: str) -> bool:
        """Whether the runtime holds output to this schema; to be asked first, for it ignores one it cannot read."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text's vector as little-endian 32-bit floats of length 1."""

    vector: bytes
    tokens: int


class EmbeddingEngine(Protocol):
    """A runtime with one embedding model loaded."""

    async def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model reads it, its two frame tokens included; nothing else waits for it."""
        ...

    def embed(self, texts: Sequence[str]) -> AsyncIterator[list[Embedded]]:
        """The vectors in the order of the texts, some at a time; not reading on stops the work."""
        ...


@dataclass(frozen=True, slots=True)
class Served:
    """What one request took up to now."""

    state: ServedState
    prompt_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


class ServedJournal(Protocol):
    """What each request took, by request id, for whoever asks afterwards; survives the end of the process."""

    def begin(self, request_id: str) -> None:
        """Notes a request as running with nothing used yet.

        Raises: InvalidRequest while one of this id is running; UpstreamUnavailable when it cannot be noted.
        """
        ...

    def note(self, request_id: str, served: Served) -> None:
        """Notes how far a running request is. When it returns, the end of the process no longer loses it."""
        ...

    def close(self, request_id: str, served: Served) -> None:
        """Writes down how a request ended. When it returns, the end of the process no longer loses it."""
        ...

    def find(self, request_id: str) -> Served | None:
        """What is known of the last request of this id; None: it never came here."""
        ...
