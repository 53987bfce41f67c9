"""A realtime server that does as it is told, and remembers what each session used.

The text of a `response.create` event's instructions steers it: "parts=5 stop=2".

    parts=N     deltas of the answer (3), each an audio and a text token       size=N     bytes of a delta (20)
    stall=K     says nothing more after K deltas, until it is cancelled        gone=K     drops the connection after K
    status=…    of the response (completed)                                    usage=no   reports none; bad: one that
    pieces=1    sends each event in many small frames                                     does not sum up
    cached=N    input tokens that were cached, half of them audio              mute=1     does not answer a cancellation
    hear=N      says before that it transcribed N tokens of audio              half=K     says nothing more after K, by
    delay=S     seconds before each delta (0)                                             closing its sending side
"""

import asyncio
import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Usage = dict[str, Any]


@dataclass
class Held:
    """One session. done: what its responses used, reported or not; said: the events it got; closed: by the client.

    given: deltas so far, of all its responses; hears: while it is set the session's events are read.
    """

    path: str
    headers: Headers
    done: list[Usage] = field(default_factory=list)
    said: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    given: int = 0
    hears: asyncio.Event = field(default_factory=asyncio.Event)


class RealtimeUpstream:
    """The server. sessions: {request id: what it held}. refuse: the status to refuse with, 0 for none."""

    def __init__(self) -> None:
        self.sessions: dict[str, Held] = {}
        self.refuse = 0
        self.base_url = ""
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(
            self._hold, "127.0.0.1", 0, process_request=self._refuse, select_subprotocol=_realtime, max_size=None
        )
        self.base_url = f"http://127.0.0.1:{next(iter(self._server.sockets)).getsockname()[1]}/v1"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def drop(self) -> None:
        """Ends all its connections without a word."""
        assert self._server is not None
        for connection in self._server.connections:
            connection.transport.abort()

    def _refuse(self, connection: ServerConnection, request: Request) -> Response | None:
        if not self.refuse:
            return None
        response = connection.respond(HTTPStatus(self.refuse), "")
        error = {"message": f"refused by {self.base_url}", "type": "scripted", "param": None, "code": "scripted"}
        response.body = json.dumps({"error": error}).encode()
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(response.body))
        return response

    async def _hold(self, connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        held = Held(request.path, request.headers)
        held.hears.set()
        name = request.headers["X-Request-Id"]
        self.sessions[name] = held
        answers: dict[str, Answer] = {}
        tasks: list[asyncio.Task[None]] = []
        try:
            await connection.send(
                json.dumps({"type": "session.created", "event_id": "event_0", "session": {"id": name}})
            )
            async for message in connection:
                await held.hears.wait()
                event = json.loads(message)
                held.said.append(event)
                running = [answer for answer in answers.values() if not answer.is_over]
                if event["type"] == "response.create" and not running:
                    answer = Answer(connection, held, f"resp_{len(answers)}", event)
                    answers[answer.id] = answer
                    tasks.append(asyncio.create_task(answer.give()))
                elif event["type"] == "response.cancel" and running:
                    running[0].cancelled.set()
                elif event["type"] in {"response.create", "response.cancel"}:
                    error = {"type": "invalid_request_error", "event_id": event.get("event_id")}
                    await connection.send(json.dumps({"type": "error", "event_id": "event_2", "error": error}))
                elif event["type"] == "input_audio_buffer.append":
                    await connection.send(json.dumps({"type": "heard", "bytes": len(event["audio"])}))
            held.closed = connection.close_code or 0
        except ConnectionClosed:
            pass
        finally:
            for task in tasks:
                task.cancel()


def _realtime(connection: ServerConnection, offered: Any) -> Any:
    return "realtime" if "realtime" in offered else None


class Answer:
    """One response. A session gives one at a time; asked for more, or to cancel none, it says so."""

    def __init__(self, connection: ServerConnection, held: Held, identifier: str, asked: dict[str, Any]) -> None:
        self.id = identifier
        self.cancelled = asyncio.Event()
        self.is_over = False
        self._connection = connection
        self._held = held
        text = str((asked.get("response") or {}).get("instructions") or "")
        self._script = dict(word.partition("=")[::2] for word in text.split())
        self._given = 0

    async def give(self) -> None:
        hear = self._number("hear", 0)
        if hear:
            await self._say(
                "conversation.item.input_audio_transcription.completed",
                transcript="heard",
                usage={
                    "type": "tokens", "total_tokens": hear + 2, "input_tokens": hear, "output_tokens": 2,
                    "input_token_details": {"text_tokens": 0, "audio_tokens": hear},
                },
            )  # fmt: skip
        await self._say("response.created", response={"id": self.id, "status": "in_progress", "usage": None})
        for number in range(self._number("parts", 3)):
            if self._number("gone", -1) == number:
                self._held.done.append(self._usage())
                self._connection.transport.abort()
                return
            if self._number("half", -1) == number:
                self._held.done.append(self._usage())
                self._connection.transport.write_eof()
                return
            if self._number("stall", -1) == number:
                await self.cancelled.wait()
            await asyncio.sleep(float(self._script.get("delay", 0)))
            if self.cancelled.is_set():
                break
            self._given += 1
            self._held.given += 1
            await self._say("response.output_audio.delta", response_id=self.id, delta="x" * self._number("size", 20))
        if self.cancelled.is_set() and "mute" in self._script:
            return
        usage = self._usage()
        self._held.done.append(usage)
        self.is_over = True
        status = "cancelled" if self.cancelled.is_set() else self._script.get("status", "completed")
        shown: Usage | None = usage
        if self._script.get("usage") == "bad":
            shown = {**usage, "total_tokens": usage["total_tokens"] + 1}
        elif self._script.get("usage") == "no":
            shown = None
        await self._say("response.done", response={"id": self.id, "status": status, "output": [], "usage": shown})

    def _usage(self) -> Usage:
        cached = self._number("cached", 0)
        return {
            "total_tokens": 150 + 2 * self._given, "input_tokens": 150, "output_tokens": 2 * self._given,
            "input_token_details": {
                "text_tokens": 100, "audio_tokens": 50, "image_tokens": 0, "cached_tokens": cached,
                "cached_tokens_details": {
                    "text_tokens": cached - cached // 2, "audio_tokens": cached // 2, "image_tokens": 0,
                },
            },
            "output_token_details": {"text_tokens": self._given, "audio_tokens": self._given},
        }  # fmt: skip

    def _number(self, name: str, default: int) -> int:
        return int(self._script.get(name, default))

    async def _say(self, kind: str, **members: Any) -> None:
        text = json.dumps({"type": kind, "event_id": "event_1", **members})
        if "pieces" in self._script:
            await self._connection.send(text[at : at + 7] for at in range(0, len(text), 7))
        else:
            await self._connection.send(text)
