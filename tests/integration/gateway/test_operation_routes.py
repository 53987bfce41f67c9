"""Operations beside text on Azure's routes, refused by their upstream, or left by their client."""

from collections.abc import Iterator

import openai
import pytest

from tests.support.gateway import KEY, Gateway, eventually
from tests.support.operations import gateway_of_operations, recording
from tests.support.requests import ask, request_bytes


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with gateway_of_operations() as gateway:
        yield gateway


# ---- Azure's routes


@pytest.mark.parametrize(
    ("path", "body", "meters"),
    [
        (
            "/openai/deployments/images/images/generations",
            b'{"prompt":"a cat"}',
            {"image_output_tokens", "input_tokens"},
        ),
        ("/openai/deployments/speech/audio/speech", b'{"input":"a","voice":"b"}', {"characters"}),
        ("/openai/responses", b'{"model":"responses","input":"a"}', {"input_tokens", "output_tokens"}),
    ],
)
def test_azures_routes(gateway: Gateway, path: str, body: bytes, meters: set[str]) -> None:
    assert ask(gateway, body, path=f"{path}?api-version=2025-04-01-preview").status == 200
    assert gateway.usage().meters.keys() == meters


def test_an_azure_client_sends_a_recording(gateway: Gateway) -> None:
    with openai.AzureOpenAI(api_key=KEY, azure_endpoint=gateway.url, api_version="2024-10-21", max_retries=0) as client:
        client.audio.transcriptions.create(model="transcriptions", file=recording())
    assert gateway.usage().deployment == "transcriptions"


# ---- refusals, and ends that all operations share


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/images/generations", b'{"prompt":"a"}'), ("/v1/audio/speech", b'{"input":"a"}')]
)
@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_upstreams_errors(gateway: Gateway, path: str, body: bytes, status: int) -> None:
    name = "images" if "images" in path else "speech"
    told = body.replace(b'"a"', b'"a [[status=%d]]","model":"%b"' % (status, name.encode()))
    reply = ask(gateway, told, path=path)
    assert (reply.status, reply.error["code"]) == (status, "scripted")
    usage = gateway.usage()
    assert (usage.outcome, usage.source, usage.meters) == ("upstream_failed", "reported", {})


@pytest.mark.parametrize("n", ["0", "-5", "1001", "1" + "0" * 30])
def test_a_number_of_pictures_that_nobody_draws(gateway: Gateway, n: str) -> None:
    reply = ask(gateway, b'{"model":"images","prompt":"a","n":%b}' % n.encode(), path="/v1/images/generations")
    assert (reply.status, reply.error["param"]) == (400, "n")
    field = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    form = field.format("model", "image_edits") + field.format("n", n) + "--b--\r\n"
    headers = {"api-key": KEY, "Content-Type": "multipart/form-data; boundary=b"}
    reply = ask(gateway, form.encode(), path="/v1/images/edits", headers=headers)
    assert (reply.status, reply.error["param"]) == (400, "n")
    assert gateway.sink.records == []


def test_a_client_that_leaves_a_form(gateway: Gateway) -> None:
    field = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    form = field % (b"model", b"transcriptions") + field % (b"prompt", b"[[stall=0]]")
    form += field % (b'file"; filename="speech.wav', recording()) + b"--b--\r\n"
    media_type = "Content-Type: multipart/form-data; boundary=b"
    with gateway.connect() as client:
        client.sendall(request_bytes(form, media_type, path="/v1/audio/transcriptions"))
        eventually(lambda: gateway.upstream.served)
    assert not gateway.abandoned().answered
    assert gateway.admitted().counts == (("audio_seconds", 4),)
