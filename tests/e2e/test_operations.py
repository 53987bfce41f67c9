"""Operations beside text, from the unmodified client to the books: each in the meters that it is priced in."""

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

from tests.support.operations import recording
from tests.support.product import Product, eventually


@pytest.fixture(scope="module")
def client(product: Product) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{product.gateway}/v1", api_key=product.keys["shop"], max_retries=0) as client:
        yield client


def studio(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "studio", "prompt": prompt, **more}


ASKED: dict[str, tuple[Callable[[openai.OpenAI], Any], str, dict[str, int]]] = {
    "response": (
        lambda client: client.responses.with_raw_response.create(model="studio", input="hi [[calls=2]]"),
        "reported",
        {"input_tokens": 1, "output_tokens": 3, "web_search_calls": 2},
    ),
    "pictures": (
        lambda client: client.images.with_raw_response.generate(**studio("a cat [[usage=no]]", n=2)),
        "counted",
        {"images": 2},
    ),
    "an edit": (
        lambda client: client.images.with_raw_response.edit(**studio("in blue", image=b"a cat")),
        "reported",
        {"image_input_tokens": 10, "image_output_tokens": 100, "input_tokens": 2},
    ),
    "speech": (
        lambda client: client.audio.speech.with_raw_response.create(model="studio", voice="alloy", input="hello"),
        "counted",
        {"characters": 5},
    ),
    "a recording, by tokens": (
        lambda client: client.audio.transcriptions.with_raw_response.create(model="studio", file=recording()),
        "reported",
        {"audio_input_tokens": 4, "input_tokens": 10, "output_tokens": 3},
    ),
    "a recording, by its length": (
        lambda client: client.audio.transcriptions.with_raw_response.create(
            **studio("[[usage=seconds]]", file=recording())
        ),
        "reported",
        {"audio_seconds": 9},
    ),
    "a moderation": (
        lambda client: client.moderations.with_raw_response.create(model="studio", input="hello"),
        "counted",
        {"requests": 1},
    ),
}


@pytest.mark.parametrize("what", ASKED)
def test_it_is_booked_in_its_own_meters(product: Product, client: openai.OpenAI, what: str) -> None:
    ask, source, meters = ASKED[what]
    answer = ask(client)
    request_id = answer.headers["x-request-id"]
    assert eventually(lambda: product.booked(request_id))
    record = product.export()[request_id]
    assert (record["meters"], record["source"], record["model"]) == (meters, source, "maker-studio")


def test_a_stored_response_is_its_projects(product: Product, client: openai.OpenAI) -> None:
    made = client.responses.create(model="studio", input="hi")
    assert client.responses.retrieve(made.id).output_text == "w1 w2 w3"
    other = openai.OpenAI(base_url=f"{product.gateway}/v1", api_key=product.key, max_retries=0)
    with other, pytest.raises(openai.NotFoundError):
        other.responses.retrieve(made.id)
