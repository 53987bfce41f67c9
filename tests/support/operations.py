"""A gateway whose project has a deployment for each operation, and the unmodified client beside it."""

import contextlib
import io
import struct
import wave
from collections.abc import Iterator

from openai import OpenAI

from tests.support.gateway import KEY, Gateway, deployment, running_gateway, target

OPERATIONS = (
    *("responses", "images", "image_edits", "image_variations", "speech"),
    *("transcriptions", "translations", "moderations", "rerank"),
)


@contextlib.contextmanager
def gateway_of_operations() -> Iterator[Gateway]:
    """A gateway with `chat`, and with a deployment of the name of each other operation."""
    with running_gateway(published=False) as gateway:
        base_url = gateway.upstream.base_url
        gateway.serve(
            deployment("chat", target(base_url)),
            *(deployment(name, target(base_url), operations=(name,)) for name in OPERATIONS),
        )
        yield gateway


def client_of(gateway: Gateway) -> OpenAI:
    """The client."""
    return OpenAI(api_key=KEY, base_url=gateway.url + "/v1", max_retries=0, timeout=60)


def recording(seconds: int = 3) -> bytes:
    """A WAV file of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(struct.pack("<h", 0) * 8000 * seconds)
    return file.getvalue()
