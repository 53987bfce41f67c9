"""The embedding engine meets its port: texts are counted as they are billed, and nobody waits while they are read."""

import asyncio
from collections.abc import Iterator

import pytest

from entrepot.adapters.model_files import find_minilm
from entrepot.adapters.onnx_embedder import OnnxEmbedder
from entrepot.ports.model_engine import Embedded
from tests.support.turns import turns_during


@pytest.fixture(scope="module")
def engine() -> Iterator[OnnxEmbedder]:
    engine = OnnxEmbedder(find_minilm(), threads=1)
    yield engine
    engine.close()


def test_texts_are_counted_as_they_are_embedded_in_batches_in_their_order(engine: OnnxEmbedder) -> None:
    texts = ["harbour " * (1 + number % 9 * 40) for number in range(50)]

    async def both() -> tuple[list[int], list[list[Embedded]]]:
        return await engine.token_counts(texts), [batch async for batch in engine.embed(texts)]

    counts, batches = asyncio.run(both())
    assert counts == [2 + 1 + number % 9 * 40 for number in range(50)]
    assert [item.tokens for batch in batches for item in batch] == counts
    for batch in batches:
        assert len(batch) <= 16
        assert len(batch) * max(item.tokens for item in batch) <= 1024


def test_many_texts_are_read_while_the_loop_turns(engine: OnnxEmbedder) -> None:
    turns, counts = asyncio.run(turns_during(engine.token_counts(["harbour " * 500] * 500)))
    assert counts == [502] * 500
    assert turns > 10


def test_nothing_is_embedded_of_nothing(engine: OnnxEmbedder) -> None:
    async def embedded() -> list[list[Embedded]]:
        return [batch async for batch in engine.embed([])]

    assert asyncio.run(embedded()) == []
