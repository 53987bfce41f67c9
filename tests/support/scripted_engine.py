"""A text engine that says what a test wrote down, so that endings which a real one seldom has can be had at will."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from entrepot.core.errors import EntrepotError, UpstreamUnavailable
from entrepot.ports.model_engine import Ending, Generation, Piece, PromptPart, Work


@dataclass
class ScriptedGeneration:
    """Gives out its pieces; after them it ends as told, or hangs until it is stopped when ending is None."""

    prompt_tokens: int
    texts: Sequence[str]
    ending: Ending | EntrepotError | None
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    produced: int = 0

    async def pieces(self) -> AsyncIterator[Piece]:
        yield Piece("", 0)
        for text in self.texts:
            self.produced += 1
            yield Piece(text, self.produced)
        if self.ending is None:
            await self.stopped.wait()

    async def ended(self) -> Ending:
        if isinstance(self.ending, EntrepotError):
            raise self.ending
        return self.ending or Ending("cancelled", self.prompt_tokens, self.produced)

    def stop(self) -> None:
        self.stopped.set()


class ScriptedTextEngine:
    """Each started work gets the next script; a token is a character. busy: nothing more is taken."""

    vocabulary_size = 1000
    token_bytes_max = 4  # Of a character.

    def __init__(self, *scripts: tuple[Sequence[str], Ending | EntrepotError | None], busy: bool = False) -> None:
        self.scripts = list(scripts)
        self.busy = busy
        self.started: list[Work] = []
        self.refused_schemas: set[str] = set()

    async def token_ids(self, parts: Sequence[PromptPart]) -> tuple[int, ...]:
        return tuple(ord(letter) for part in parts for letter in part.text)

    def start(self, work: Sequence[Work]) -> list[Generation]:
        if self.busy:
            raise UpstreamUnavailable("The model is busy.", retry_after_s=1)
        self.started.extend(work)
        return [ScriptedGeneration(len(item.prompt), *self.scripts.pop(0)) for item in work]

    async def can_follow(self, json_schema: str) -> bool:
        return json_schema not in self.refused_schemas
