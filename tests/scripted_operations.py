"""What the scripted upstream answers beside text: responses, images, audio, moderations and rerank.

Words in double brackets steer these, too (see scripted_upstream.py); besides

    ends=…       how a response ends: completed, incomplete, filtered, failed       calls=N   web searches in it
    usage=no     none is reported; seconds: a recording's length; bad: one that does not sum up
    inner=…      what an error has of Azure's filter, under this name
    pieces=N     of sound, or of a picture on its way (2)
"""

import base64
import email.parser
import email.policy
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.scripted_upstream import Answer

SOUND = b"ID3\x00sound\xff"
_CATEGORIES = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    *("self-harm", "self-harm/instructions", "self-harm/intent"),
    *("sexual", "sexual/minors", "violence", "violence/graphic"),
)
PICTURE = base64.b64encode(b"a picture").decode()


@dataclass
class StoredResponses:
    """Responses by id. lasting: those that are there again when they were deleted; asked: what was asked about any."""

    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    lasting: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def filter_said(script: dict[str, str], told_by: str) -> dict[str, Any]:
    """What Azure's filter says of a prompt that it blocked, under the name that the script has for it."""
    results = {"violence": {"filtered": True, "severity": "high"}, "told_by": told_by}
    name = script.get("inner", "")
    return {name: {"code": "ResponsibleAIPolicyViolation", "content_filter_result": results}} if name else {}


def form_of(body: bytes, media_type: str) -> dict[str, Any]:
    """The fields of a form: text, or the bytes of a file. Read by another reader than the gateway's."""
    head = f"Content-Type: {media_type}\r\n\r\n".encode()
    form = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    assert not form.defects, form.defects
    fields: dict[str, Any] = {}
    for part in form.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        fields[name] = content if part.get_filename() else content.decode()
    return fields


async def respond(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/responses."""
    served = answer.served
    words = list(answer._words())
    told = [{"type": "web_search_call", "id": "ws", "status": "completed", "action": {"type": "search", "query": "q"}}]
    output: list[Any] = told * int(answer.script.get("calls", "0"))
    if "tool" in answer.script:
        output.append({"type": "function_call", "call_id": "c", "name": "look", "arguments": " ".join(words)})
    else:
        output.append(
            {
                "type": "message",
                "id": "msg",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": " ".join(words), "annotations": []}],
            }
        )
    begun: dict[str, Any] = {
        "id": f"resp_{served.id}",
        "object": "response",
        "created_at": 1,
        "model": served.model,
        "status": "in_progress",
        "metadata": asked.get("metadata") or {},
        "previous_response_id": asked.get("previous_response_id"),
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": None,
    }
    if "tier" in answer.script:
        begun["service_tier"] = "auto"  # Until it has ended, nobody says which it was.
    if not asked.get("stream"):
        answer.grow(len(words))
        answer._whole(200, answer._json(_ended(answer, begun, output)))
        return
    answer._open_stream()
    _event(answer, {"type": "response.created", "response": begun})
    _event(answer, {"type": "response.in_progress", "response": begun})
    _event(answer, {"type": "response.output_item.added", "output_index": 0, "item": output[-1] | {"status": "x"}})
    for number, word in enumerate(words):
        await answer._maybe_stop(number)
        answer.grow(1)
        delta = {"type": "response.output_text.delta", "item_id": "msg", "output_index": 0, "content_index": 0}
        _event(answer, delta | {"delta": f"{word} ", "logprobs": []})
        await answer._wait(float(answer.script.get("delay", "0")))
    await answer._maybe_stop(len(words))
    _event(answer, {"type": "response.output_item.done", "output_index": 0, "item": output[-1]})
    ended = _ended(answer, begun, output)
    _event(answer, {"type": f"response.{ended['status']}", "response": ended})
    answer._write(b"0\r\n\r\n")


def _ended(answer: "Answer", begun: dict[str, Any], output: list[Any]) -> dict[str, Any]:
    """The whole response; remembered, if that is asked for."""
    served = answer.served
    ends = answer.script.get("ends", "completed")
    status = {"filtered": "incomplete"}.get(ends, ends)
    reason = {"incomplete": {"reason": "max_output_tokens"}, "filtered": {"reason": "content_filter"}}.get(ends)
    usage = _usage(answer)
    if answer.script.get("usage") == "no" or ends == "failed":
        usage = {}
    ended = begun | {"status": status, "incomplete_details": reason, "output": output, "usage": usage or None}
    if "tier" in answer.script:
        ended["service_tier"] = answer.script["tier"]
    if served.body.get("store") is not False:
        answer.server.responses.stored[ended["id"]] = ended
    return ended


def _usage(answer: "Answer") -> dict[str, Any]:
    served = answer.served
    return {
        "input_tokens": served.prompt_tokens,
        "input_tokens_details": {"cached_tokens": served.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": served.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": served.reasoning_tokens},
        "total_tokens": served.prompt_tokens + served.completion_tokens + (answer.script.get("usage") == "bad"),
    }


async def compact(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/responses/compact."""
    del asked
    answer.grow(2)
    compacted = {"id": "c", "object": "response.compaction", "created_at": 1, "output": []}
    answer._whole(200, answer._json(compacted | {"usage": _usage(answer)}))


async def count(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/responses/input_tokens."""
    del asked
    answer._whole(200, answer._json({"object": "response.input_tokens", "input_tokens": answer.served.prompt_tokens}))


async def draw(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/images/…"""
    served = answer.served
    seen = sum(isinstance(value, bytes) for value in asked.values()) * 10
    usage = {
        "input_tokens": served.prompt_tokens + seen,
        "input_tokens_details": {"text_tokens": served.prompt_tokens, "image_tokens": seen},
        "output_tokens": 100,
        "total_tokens": served.prompt_tokens + seen + 100,
    }
    member = {} if answer.script.get("usage") == "no" else {"usage": usage}
    if member:
        answer.count(input_tokens=served.prompt_tokens, image_input_tokens=seen, image_output_tokens=100)
    else:
        answer.count(images=int(asked.get("n") or 1))
    if str(asked.get("stream")).lower() != "true":
        data = [{"b64_json": PICTURE}] * int(asked.get("n") or 1)
        answer._whole(200, answer._json({"created": 1, "data": data} | member))
        return
    kind = "image_edit" if seen else "image_generation"
    answer._open_stream()
    about = {
        "b64_json": PICTURE,
        "created_at": 1,
        "size": "auto",
        "quality": "low",
        "background": "auto",
        "output_format": "png",
    }
    for number in range(int(answer.script.get("pieces", "2"))):
        await answer._maybe_stop(number)
        _event(answer, {"type": f"{kind}.partial_image", "partial_image_index": number} | about)
    _event(answer, {"type": f"{kind}.completed"} | about | member)
    answer._write(b"0\r\n\r\n")


async def speak(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/audio/speech."""
    pieces = int(answer.script.get("pieces", "2"))
    if asked.get("stream_format") == "sse":
        answer.count(input_tokens=14, audio_output_tokens=101)
        answer._open_stream()
        for _ in range(pieces):
            _event(answer, {"type": "speech.audio.delta", "audio": base64.b64encode(SOUND).decode()})
        usage = {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}
        _event(answer, {"type": "speech.audio.done", "usage": usage})
        answer._write(b"0\r\n\r\n")
        return
    answer.count(characters=len(asked["input"]))
    answer._write(b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n")
    for number in range(pieces):
        await answer._maybe_stop(number)
        answer._write_chunk(SOUND)
        await answer._wait(float(answer.script.get("delay", "0")))
    await answer._maybe_stop(pieces)
    answer._write(b"0\r\n\r\n")


async def transcribe(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/audio/transcriptions and translations."""
    text = " ".join(answer._words())
    tokens: dict[str, Any] = {
        "type": "tokens",
        "input_tokens": 14,
        "input_token_details": {"text_tokens": 10, "audio_tokens": 4},
        "output_tokens": 3,
        "total_tokens": 17,
    }
    told = answer.script.get("usage")
    if told is None:
        answer.count(input_tokens=10, audio_input_tokens=4, output_tokens=3)
    usage = {"no": {}, "seconds": {"usage": {"type": "duration", "seconds": 8.4}}}.get(told or "", {"usage": tokens})
    if str(asked.get("stream")).lower() == "true":
        answer._open_stream()
        for word in answer._words():
            _event(answer, {"type": "transcript.text.delta", "delta": f"{word} "})
        _event(answer, {"type": "transcript.text.done", "text": text} | usage)
        answer._write(b"0\r\n\r\n")
    elif asked.get("response_format") == "text":
        answer._whole(200, text.encode() + b"\n", media_type=b"text/plain; charset=utf-8")
    elif asked.get("response_format") == "verbose_json":
        answer._whole(
            200, answer._json({"text": text, "language": "english", "duration": 8.47, "segments": []} | usage)
        )
    else:
        answer._whole(200, answer._json({"text": text} | usage))


async def moderate(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/moderations."""
    answer.count(requests=1)
    texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    verdict = {
        "flagged": False,
        "categories": dict.fromkeys(_CATEGORIES, False),
        "category_scores": dict.fromkeys(_CATEGORIES, 0.0),
        "category_applied_input_types": {name: ["text"] for name in _CATEGORIES},
    }
    answer._whole(200, answer._json({"id": "modr-1", "model": answer.served.model, "results": [verdict] * len(texts)}))


async def rank(answer: "Answer", asked: dict[str, Any]) -> None:
    """POST /v1/rerank, as Jina tells usage; or Cohere, with usage=units."""
    results = [{"index": number, "relevance_score": 0.5} for number in range(len(asked["documents"]))]
    answer.count(input_tokens=21)
    usage: dict[str, Any] = {"usage": {"prompt_tokens": 21, "total_tokens": 21}}
    if answer.script.get("usage") == "units":
        usage = {"meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}}
    elif answer.script.get("usage") == "no":
        usage = {}
    answer._whole(200, answer._json({"id": "r", "model": answer.served.model, "results": results} | usage))


OPERATIONS: dict[str, Callable[["Answer", dict[str, Any]], Awaitable[None]]] = {
    "/v1/responses": respond,
    "/v1/responses/compact": compact,
    "/v1/responses/input_tokens": count,
    "/v1/images/generations": draw,
    "/v1/images/edits": draw,
    "/v1/images/variations": draw,
    "/v1/audio/speech": speak,
    "/v1/audio/transcriptions": transcribe,
    "/v1/audio/translations": transcribe,
    "/v1/moderations": moderate,
    "/v1/rerank": rank,
}


def tell_stored(answer: "Answer", method: str, target: str) -> None:
    """What is asked about a stored response."""
    parts = urlsplit(target)
    _, _, behind = parts.path.partition("/v1/responses/")
    name, _, rest = behind.partition("/")
    answer.server.responses.asked.append(f"{method} {target}")
    found = answer.server.responses.stored.get(name)
    if found is None and name in answer.server.responses.lasting:
        found = answer.server.responses.stored[name] = answer.server.responses.lasting[name]
    if found is None:
        answer._whole(404, b'{"error":{"message":"Response not found","type":"invalid_request_error"}}')
    elif method == "DELETE":
        del answer.server.responses.stored[name]
        answer._whole(200, answer._json({"id": name, "object": "response", "deleted": True}))
    elif rest == "input_items":
        answer._whole(200, answer._json({"object": "list", "data": [], "has_more": False}))
    elif rest == "cancel" and "background" in found:
        answer._whole(200, answer._json(found | {"status": "cancelled"}))
    elif rest == "cancel":
        answer._whole(
            400, b'{"error":{"message":"Only background responses can be cancelled","code":"not_background"}}'
        )
    elif "stream=true" in parts.query:
        answer._open_stream()
        _event(answer, {"type": "response.created", "response": found | {"status": "in_progress"}})
        _event(answer, {"type": "response.completed", "response": found})
        answer._write(b"0\r\n\r\n")
    else:
        answer._whole(200, answer._json(found))


def _event(answer: "Answer", content: dict[str, Any]) -> None:
    """An event with its type, as typed streams have it."""
    name = str(content["type"]).encode()
    answer._write_chunk(b"event: " + name + b"\ndata: " + answer._json(content) + answer._separator())


def texts_of(asked: dict[str, Any]) -> Iterator[str]:
    """All text of a request of these operations."""
    for name in ("prompt", "input", "query"):
        given = asked.get(name, "")
        yield from map(str, given) if isinstance(given, list) else [str(given)]


def told_of(body: bytes, media_type: str) -> dict[str, Any]:
    """What a request's body says, whether JSON or a form."""
    asked: dict[str, Any] = form_of(body, media_type) if media_type.startswith("multipart/") else json.loads(body)
    return asked
