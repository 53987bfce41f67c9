"""A request for text, from its body to the last byte of its answer."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from entrepot.core.errors import EntrepotError, UnsupportedValue
from entrepot.core.periods import SECOND
from entrepot.ports.clock import Clock
from entrepot.ports.model_engine import Ending, Generation, Piece, PromptPart, ServedJournal, TextEngine, Work
from entrepot.serving.answers import Heading, TextAnswer
from entrepot.serving.chat_answers import ChatAnswer, ToolCallAnswer
from entrepot.serving.completion_answers import CompletionAnswer
from entrepot.serving.model_cards import ModelCard
from entrepot.serving.served_usage import served_by
from entrepot.serving.text_requests import Prompt, TextRequest, output_room, read_chat, read_completion, refuse_too_long


class TextExchange:
    """One request being answered. Its parts are to be read to the end, abandoned or not: only then is it kept."""

    def __init__(
        self,
        journal: ServedJournal,
        request_id: str,
        request: TextRequest,
        answer: TextAnswer,
        work: Sequence[Work],
        runs: Sequence[Generation],
    ) -> None:
        self.request_id = request_id
        self.streamed = request.wishes.streamed
        self._journal = journal
        self._per_prompt = request.wishes.choices
        self._answer = answer
        self._work = work
        self._runs = runs

    async def parts(self) -> AsyncIterator[bytes]:
        """The answer's bytes as they come. What it took is kept before the last of them is handed out.

        Raises: EntrepotError when the runtime failed; what was produced until then is kept.
        """
        opening = self._answer.opening()
        if opening:
            yield opening
        so_far = [Ending("cancelled", 0, 0)] * len(self._runs)
        try:
            async for index, piece in _merged(self._runs):
                so_far[index] = Ending("cancelled", len(self._work[index].prompt), piece.output_tokens)
                self._journal.note(self.request_id, served_by(so_far, "running", per_prompt=self._per_prompt))
                part = self._answer.feed(index, piece)
                if part:
                    yield part
            endings = await asyncio.gather(*(run.ended() for run in self._runs))
        except BaseException:  # The runtime failed, or the process is closing and cancels what still runs.
            self.abandon()
            self._journal.close(self.request_id, served_by(so_far, "cancelled", per_prompt=self._per_prompt))
            raise
        whole = all(ending.reason != "cancelled" for ending in endings)
        served = served_by(endings, "finished" if whole else "cancelled", per_prompt=self._per_prompt)
        self._journal.close(self.request_id, served)
        if whole:
            yield self._answer.closing(endings, served)

    def abandon(self) -> None:
        """Stops the work: nobody waits for the answer any more."""
        for run in self._runs:
            run.stop()


class ServeText:
    """The text model of this process."""

    def __init__(self, card: ModelCard, engine: TextEngine, journal: ServedJournal, clock: Clock) -> None:
        self._card = card
        self._engine = engine
        self._journal = journal
        self._clock = clock

    async def chat(self, raw: bytes, request_id: str) -> TextExchange:
        """The exchange for a body of `POST /v1/chat/completions`, at work. Raises: EntrepotError, nothing begun."""
        request = read_chat(raw, self._card, self._engine.vocabulary_size)
        shape = ToolCallAnswer if request.calls_tool else ChatAnswer
        answer = shape(
            self._heading(request_id),
            request.wishes.choices,
            streamed=request.wishes.streamed,
            usage_in_stream=request.wishes.usage_in_stream,
            logprobs=request.wishes.sampling.top_logprobs is not None,
        )
        return await self._exchange(request, request_id, answer)

    async def complete(self, raw: bytes, request_id: str) -> TextExchange:
        """The exchange for a body of `POST /v1/completions`, at work. Raises: EntrepotError, nothing begun."""
        request = read_completion(raw, self._card, self._engine.vocabulary_size)
        choices = request.wishes.choices
        answer = CompletionAnswer(
            self._heading(request_id),
            choices * len(request.prompts),
            streamed=request.wishes.streamed,
            usage_in_stream=request.wishes.usage_in_stream,
            logprobs=request.wishes.sampling.top_logprobs is not None,
            echo=[text for text in request.echo for _ in range(choices)],
        )
        return await self._exchange(request, request_id, answer)

    async def _exchange(self, request: TextRequest, request_id: str, answer: TextAnswer) -> TextExchange:
        refuse_too_long(request, self._card, self._engine.token_bytes_max)
        prompts = [await self._tokens(prompt) for prompt in request.prompts]
        rooms = output_room(request, [len(prompt) for prompt in prompts], self._card)
        await self._check_schema(request)
        work = [item for prompt, room in zip(prompts, rooms, strict=True) for item in _choices(request, prompt, room)]
        self._journal.begin(request_id)
        try:
            runs = self._engine.start(work)
        except EntrepotError:
            self._journal.close(request_id, served_by([], "cancelled"))
            raise
        return TextExchange(self._journal, request_id, request, answer, work, runs)

    async def _tokens(self, prompt: Prompt) -> tuple[int, ...]:
        parts = [part for part in prompt if isinstance(part, PromptPart)]
        ids = [token for token in prompt if isinstance(token, int)]
        return (*await self._engine.token_ids(parts), *ids)  # A prompt is all of one or all of the other.

    async def _check_schema(self, request: TextRequest) -> None:
        schema = request.wishes.sampling.json_schema
        if schema is not None and not await self._engine.can_follow(schema):
            raise UnsupportedValue(
                f"'{request.schema_param}': the runtime cannot hold answers to this schema; use plainer keywords.",
                param=request.schema_param,
            )

    def _heading(self, request_id: str) -> Heading:
        return Heading(request_id, self._card.id, self._clock.now() // SECOND)


def _choices(request: TextRequest, prompt: tuple[int, ...], room: int) -> list[Work]:
    sampling = replace(request.wishes.sampling, output_tokens_max=room)
    seed = sampling.seed
    if seed is None:
        return [Work(prompt, sampling)] * request.wishes.choices
    # Choices of one seed differ from one another and come out the same again.
    return [Work(prompt, replace(sampling, seed=seed + choice)) for choice in range(request.wishes.choices)]


async def _merged(runs: Sequence[Generation]) -> AsyncIterator[tuple[int, Piece]]:
    """The pieces of all as they come, each with its run's place."""
    if len(runs) == 1:
        async for piece in runs[0].pieces():
            yield 0, piece
        return
    queue: asyncio.Queue[tuple[int, Piece] | None] = asyncio.Queue()

    async def forward(index: int, run: Generation) -> None:
        async for piece in run.pieces():
            queue.put_nowait((index, piece))
        queue.put_nowait(None)

    async with asyncio.TaskGroup() as forwarders:
        for index, run in enumerate(runs):
            forwarders.create_task(forward(index, run))
        for _ in runs:
            while (item := await queue.get()) is not None:
                yield item
