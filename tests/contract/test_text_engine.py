"""What the port promises of a text engine, held by the real one."""

import asyncio
import random
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from entrepot.adapters.llama_cpp_engine import LlamaCppEngine
from entrepot.adapters.model_files import prepare_smollm2
from entrepot.core.errors import UpstreamUnavailable
from entrepot.ports.model_engine import Ending, Generation, Piece, PromptPart, Sampling, Work
from entrepot.serving.fields import Fields
from entrepot.serving.prompts import chat_prompt, read_messages
from tests.support.model_process import kept_models
from tests.support.turns import turns_during

SLOTS = 2
WAITING_MAX = 2
GREEDY = Sampling(output_tokens_max=12, temperature=0, top_p=1, ignore_end=True)
ENDLESS = Sampling(output_tokens_max=900, temperature=0, top_p=1, ignore_end=True)
ODD_TEXTS = [
    "x", "  x", "x  ", "\n\n\n", "1234567890 12.5%", "'s don't I'LL", "<|im_end|> hi <|im_start|>", "\u3000\u3000y",
    "Écris un résumé, s'il te plaît 请把第3段翻译 😀👩\u200d👩\u200d👧", "İıſK ١٢٣ ²³ Ⅷ ½", "\t \r\n x", " " * 300,
    "\u0301a\u200b\ufeff",
]  # fmt: skip


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[LlamaCppEngine]:
    files = prepare_smollm2(kept_models(request.config), print)
    engine = LlamaCppEngine(
        files.model, files.vocabulary, slots=SLOTS, context_tokens=1024, threads=1, waiting_max=WAITING_MAX
    )
    yield engine
    engine.close()


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


async def read(generation: Generation) -> tuple[list[Piece], Ending]:
    return [piece async for piece in generation.pieces()], await generation.ended()


def words(engine: LlamaCppEngine, text: str) -> tuple[int, ...]:
    return engine._read([PromptPart(text)])


def own_count(engine: LlamaCppEngine, body: dict[str, Any]) -> int:
    """Prompt tokens as the runtime counts them with its own tokenizer and the model's own template."""
    answers: list[dict[str, Any]] = []
    engine._server.handle_chat_completions({**body, "max_tokens": 1, "stream": False}, answers.append)
    count: int = answers[0]["usage"]["prompt_tokens"]
    return count


def test_prompts_are_read_as_the_runtime_reads_them(engine: LlamaCppEngine) -> None:
    chance = random.Random(7)
    texts = [
        *ODD_TEXTS,
        *("".join(chr(chance.choice([32, 10, *range(33, 0x24F)])) for _ in range(40)) for _ in range(6)),
    ]
    messages = [{"role": "system", "content": "Be brief."}]
    for text in texts:
        if "<|im_" not in text:  # There the runtime would read a marker; we must not.
            messages += [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]
    parts = chat_prompt(read_messages(Fields({"messages": messages[:-1]})), system_prompt="")
    assert len(run(engine.token_ids(parts))) == own_count(engine, {"messages": messages[:-1]})


def test_text_never_becomes_a_marker(engine: LlamaCppEngine) -> None:
    assert len(run(engine.token_ids([PromptPart("<|im_end|>", marker=True)]))) == 1
    assert len(words(engine, "<|im_end|>")) > 3


def test_pieces_add_up(engine: LlamaCppEngine) -> None:
    async def one() -> tuple[list[Piece], Ending]:
        (generation,) = engine.start([Work(words(engine, "The harbour in spring is"), GREEDY)])
        return await read(generation)

    pieces, ending = run(one())
    assert pieces[0] == Piece("", 0)
    assert ending == Ending("length", 5, 12)
    assert pieces[-1].output_tokens == 12
    assert len(words(engine, "".join(piece.text for piece in pieces))) == 12


def test_several_at_once_say_what_each_says_alone(engine: LlamaCppEngine) -> None:
    prompts = [words(engine, text) for text in ("One two three", "The sea is", "Once upon a time", "My name")]

    async def all_at_once() -> list[str]:
        runs = engine.start([Work(prompt, GREEDY) for prompt in prompts])
        return ["".join(piece.text for piece in pieces) for pieces, _ in await asyncio.gather(*map(read, runs))]

    async def one_by_one() -> list[str]:
        texts = []
        for prompt in prompts:
            pieces, _ = await read(engine.start([Work(prompt, GREEDY)])[0])
            texts.append("".join(piece.text for piece in pieces))
        return texts

    assert run(all_at_once()) == run(one_by_one())


def test_stopping_while_it_writes_keeps_the_count(engine: LlamaCppEngine) -> None:
    async def stop_after(count: int) -> tuple[int, int, Ending]:
        """How many tokens were written when it was told to stop, and seen in the end."""
        (generation,) = engine.start([Work(words(engine, "The sea is"), ENDLESS)])
        seen = written = 0
        async for piece in generation.pieces():
            seen = piece.output_tokens
            if seen == count:
                generation.stop()
                written = generation._tokens  # type: ignore[attr-defined]
        return written, seen, await generation.ended()

    for count in (1, 2, 3, 5, 8, 1, 2, 3):  # More often than there are slots: none may stay taken.
        written, seen, ending = run(stop_after(count))
        assert ending.reason == "cancelled"
        assert count <= written <= seen == ending.output_tokens <= written + 1
        assert ending.prompt_tokens == 3


def test_stopping_while_it_reads_writes_nothing(engine: LlamaCppEngine) -> None:
    async def one() -> Ending:
        (generation,) = engine.start([Work(words(engine, "word " * 900), ENDLESS)])
        async for _ in generation.pieces():
            generation.stop()  # The first piece: the first slice of the prompt has been read.
        return await generation.ended()

    assert run(one()) == Ending("cancelled", 901, 0)


def test_stopping_while_it_waits_costs_nothing_and_too_many_are_refused(engine: LlamaCppEngine) -> None:
    async def crowd() -> list[Ending]:
        work = Work(words(engine, "The sea is"), ENDLESS)
        runs = engine.start([work] * (SLOTS + WAITING_MAX))
        with pytest.raises(UpstreamUnavailable):
            engine.start([work])
        async for _ in runs[0].pieces():
            break
        for generation in reversed(runs):
            generation.stop()
        return [await generation.ended() for generation in runs]

    endings = run(crowd())
    assert {ending.reason for ending in endings} == {"cancelled"}
    assert [ending.prompt_tokens for ending in endings[SLOTS:]] == [0] * WAITING_MAX
    assert endings[0].prompt_tokens == 3


@pytest.mark.parametrize(
    ("schema", "followed"),
    [
        ('{"type":"object"}', True),
        ('{"type":"string","pattern":"^[a-c]{3}-([0-9]+|x)$"}', True),
        ('{"anyOf":[{"type":"integer","multipleOf":7},{"type":"null"}]}', True),
        ('{"type":"strange"}', False),
        ('{"not":{"type":"string"}}', False),
        ('{"type":"string","format":"nonsense"}', False),
        ('{"$ref":"#/$defs/missing"}', False),
        ('{"type":"string","pattern":"("}', False),
    ],
)
def test_it_knows_which_schemas_it_follows(engine: LlamaCppEngine, schema: str, followed: bool) -> None:
    assert run(engine.can_follow(schema)) is followed


@pytest.mark.parametrize("index", range(len(ODD_TEXTS)))
def test_odd_prompts_do_no_harm(engine: LlamaCppEngine, index: int) -> None:
    async def one() -> Ending:
        (generation,) = engine.start([Work(words(engine, ODD_TEXTS[index]), Sampling(2, 1.0, 0.5, ignore_end=True))])
        return (await read(generation))[1]

    assert run(one()).output_tokens == 2


def test_a_long_prompt_is_read_while_the_loop_turns(engine: LlamaCppEngine) -> None:
    turns, tokens = run(turns_during(engine.token_ids([PromptPart("harbour " * 100_000)])))
    assert turns > 10
    assert len(tokens) >= 100_000


def test_no_token_is_longer_than_is_said(engine: LlamaCppEngine) -> None:
    longest = engine.token_bytes_max
    texts = [*ODD_TEXTS, "#" * 4000, "\n" + " " * 4000, "=" * 999, "-" * 4000]
    assert all(len(words(engine, text)) * longest >= len(text.encode()) for text in texts)
    assert any(len(words(engine, text)) * longest < 2 * len(text.encode()) for text in texts)
