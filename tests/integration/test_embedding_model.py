"""The embedding model for real."""

import base64
import math
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import openai
import pytest

from tests.support.model_process import EMBEDDING, ModelProcess, kept_models, serving

HARBOUR = "The harbour is quiet in spring."

# The first numbers of that text's vector in 32-bit floats, from numpy over the published weights.
EXACT_HARBOUR = [0.07917, 0.01103, 0.10255, 0.03058, 0.07121, -0.06704, -0.02180, -0.15517]


@pytest.fixture(scope="module")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelProcess]:
    with serving(EMBEDDING, tmp_path_factory.mktemp("home"), kept_models(request.config)) as process:
        yield process


def embed(process: ModelProcess, texts: Any, **more: Any) -> Any:
    fields = {"model": EMBEDDING, "input": texts, "encoding_format": "float", **more}
    return process.openai().embeddings.create(**fields)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_related_texts_are_nearer(model: ModelProcess) -> None:
    answer = embed(model, [HARBOUR, "Ships rest in the port during April.", "def f(x): return x*2"])
    harbour, port, code = (item.embedding for item in answer.data)
    assert len(harbour) == 384
    assert math.isclose(cosine(harbour, harbour), 1, abs_tol=1e-5)
    assert cosine(harbour, port) > 0.35
    assert cosine(harbour, code) < 0.1
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 9 + 9 + 13


def test_it_is_near_the_exact_model(model: ModelProcess) -> None:
    (item,) = embed(model, HARBOUR).data
    assert all(abs(ours - exact) < 0.01 for ours, exact in zip(item.embedding, EXACT_HARBOUR, strict=False))


def test_base64_says_the_same(model: ModelProcess) -> None:
    body = {"model": EMBEDDING, "input": HARBOUR, "encoding_format": "base64"}
    raw = base64.b64decode(model.post("/v1/embeddings", body, "packed").json()["data"][0]["embedding"])
    assert list(struct.unpack("<384f", raw)) == pytest.approx(embed(model, HARBOUR).data[0].embedding, abs=1e-7)
    assert model.usage("packed") == {
        "id": "packed",
        "state": "finished",
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 0,
            "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }


def test_many_texts_keep_their_order_whatever_their_lengths(model: ModelProcess) -> None:
    texts = [f"{number} " * (1 + number % 7 * 9) for number in range(40)]
    together = [item.embedding for item in embed(model, texts).data]
    alone = embed(model, texts[13]).data[0].embedding
    assert cosine(together[13], alone) > 0.999
    assert all(cosine(a, b) < 0.9999 for a, b in pairwise(together))


def test_a_departed_client_is_billed_for_what_was_done(model: ModelProcess) -> None:
    body = {"model": EMBEDDING, "input": ["harbour " * 300] * 400}
    usage = model.left("/v1/embeddings", body, "left", "prompt_tokens")
    assert usage["state"] == "cancelled"
    assert usage["usage"]["prompt_tokens"] % 302 == 0
    assert 0 < usage["usage"]["prompt_tokens"] < 302 * 400


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": [[1, 2, 3]]}, "input"),
        ({"input": [1, 2, 3]}, "input"),
        ({"input": []}, "input"),
        ({"input": "word " * 600}, "input"),
        ({"dimensions": 64}, "dimensions"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(model: ModelProcess, more: dict[str, Any], param: str) -> None:
    answer = model.post("/v1/embeddings", {"model": EMBEDDING, "input": HARBOUR, **more})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_chat_is_not_offered(model: ModelProcess) -> None:
    with pytest.raises(openai.BadRequestError, match="does not offer"):
        model.openai().chat.completions.create(model=EMBEDDING, messages=[{"role": "user", "content": "hi"}])
    assert embed(model, HARBOUR, dimensions=384).data
