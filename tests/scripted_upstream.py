"""A model server that does as it is told by the prompt, and remembers what it served to whom.

    python -m tests.scripted_upstream --port 0 --state FILE

Speaks OpenAI's chat, completions and embeddings, what scripted_operations.py adds, and `GET /v1/usage/{request id}`.
Its answer is w1 w2 w3 …, a token each; a prompt has as many tokens as words. Words in double brackets steer it:
"hello [[chunks=5 delay=0.01 break=3]]"; a word behind "name:" only when the model is asked for by that name.

    chunks=N     tokens of the answer (3)            delay=S       seconds before the answer and each of its chunks (0)
    break=K      closes after K chunks; 0 before the head             reset=1   breaks with a TCP reset
    stall=K      says nothing more after K chunks, before it is told to go on; 0 before the head
    status=N     an error answer                     code=…        its code (scripted)
    junk=1       200 with something that is not JSON               gzip=1        an answer that is compressed
    cut=1        closes in the middle of a whole answer            pause=usage   stalls after the usage; or break=usage
    usage=no     reports none; bad: one that does not sum up; growing: in every event of a stream as well
    cached=N, reasoning=N   parts of the usage
    finish=…     the finish reason (stop)            tool=1        answers with a tool call
    done=no      ends a stream without [DONE]        end=early     ends a stream in good order after `break` chunks
    lines=crlf   separates events so                 space=1       writes JSON with spaces
    close=1      closes the connection after the answer               stale=1   … without having said so
    pad=N        appends N bytes to each token       after=noise   says something more after the answer
    once=break   reads the request and closes, at its first time; close: and listens no more
    billed=1     an error answer has usage all the same            tier=…   the service_tier of its answer

With --state, a line is written there at each change: {"id", "state", "usage", "model", "stream", "meters"}; a file that
is there is taken up, as by a server that was restarted.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import re
import socket
import ssl
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.scripted_account import Account, Served
from tests.scripted_operations import OPERATIONS, StoredResponses, filter_said, tell_stored, texts_of, told_of

_SCRIPT = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
_RESET = struct.pack("ii", 1, 0)
_GONE = (OSError, RuntimeError)  # uvloop raises the latter for a connection that it has closed.


class Stop(Exception):
    """The connection ends here."""


class ScriptedUpstream:
    """The server. served: {request id: what it got}, broken ones too; connections: how many were accepted.

    script: done with every request, whatever its prompt says; key: the only one it takes, unless "".
    goes_on: once it is done, what has stalled goes on.
    """

    def __init__(self, state: Path | None = None, script: str = "") -> None:
        self.script = script
        self.key, self.healthy = "", True
        self._account = Account(state)
        self.served = self._account.taken_up()
        self.note = self._account.note
        self.connections = 0
        self.responses = StoredResponses()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.base_url = ""
        self.port = 0

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> "ScriptedUpstream":
        self.goes_on: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port, ssl=tls, limit=64 * 2**20)
        self.port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/v1"
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def listen_no_more(self) -> None:
        """Takes no more connections."""
        assert self._server is not None
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await Answer(self, reader, writer).run():
                pass
        except (Stop, *_GONE, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()


class Answer:
    """One request and its answer."""

    def __init__(self, server: ScriptedUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.script: dict[str, str] = {}
        self.served = Served("")
        self.gone: asyncio.Task[bytes] | None = None

    async def run(self) -> bool:
        """Whether another request may follow."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}
        body = await self.reader.readexactly(int(fields.get("content-length", "0")))
        if path.startswith("/v1/responses/") and not body:
            tell_stored(self, method, path)
            return True
        if method == "GET":
            return self._tell(path)
        asked = told_of(body, fields["content-type"])
        words = " ".join([*_SCRIPT.findall(prompt_of(asked)), self.server.script])
        told = (word.rpartition(":") for word in words.split())
        self.script = dict(word.partition("=")[::2] for model, _, word in told if model in {"", asked["model"]})
        if self.server.key not in {"", fields.get("authorization", "")[7:]}:
            self.script["status"] = "401"
        self._begin(asked, fields)
        self.gone = asyncio.create_task(self.reader.read(1))
        try:
            await self._answer(path, asked)
        except (Stop, *_GONE, asyncio.CancelledError):
            if self.served.state == "running":
                self._end("cancelled")
            raise
        finally:
            self.gone.cancel()
            with contextlib.suppress(asyncio.CancelledError, *_GONE):
                await self.gone
        self._end("finished")
        return not ({"close", "stale"} & self.script.keys())

    def _begin(self, asked: dict[str, Any], fields: dict[str, str]) -> None:
        request_id = fields.get("x-request-id", "")
        known = self.server.served.get(request_id)
        self.served = served = known or Served(request_id)
        served.heads.append(fields)
        served.body = asked
        served.model = asked["model"]
        served.stream = bool(asked.get("stream"))
        served.state = "running"
        served.forget_tokens()  # A request that comes a second time is served anew.
        served.prompt_tokens = len(_SCRIPT.sub("", prompt_of(asked)).split())
        served.cached_tokens = int(self.script.get("cached", "0"))
        served.reasoning_tokens = int(self.script.get("reasoning", "0"))
        self.server.served[request_id] = served
        self.server.note(served)

    def _end(self, state: str) -> None:
        self.served.state = state
        self.server.note(self.served)

    def _tell(self, path: str) -> bool:
        served = self.server.served.get(path.removeprefix("/v1/usage/"))
        if served is None:
            status = 404 if path != "/v1/healthy" else 200 if self.server.healthy else 503
            self._whole(status, b'{"error":{"message":"never seen"}}')
        else:
            self._whole(200, self._json({"id": served.id, "state": served.state, "usage": served.usage()}))
        return True

    async def _answer(self, path: str, asked: dict[str, Any]) -> None:
        await self._wait(float(self.script.get("delay", "0")))
        await self._maybe_stop(-1)
        if "once" in self.script and len(self.served.heads) == 1:
            if self.script["once"] == "close":
                self.server.listen_no_more()
            raise Stop
        if "status" in self.script:
            self._fail(int(self.script["status"]))
        elif "junk" in self.script:
            self._whole(200, b"<html>no</html>")
        elif "gzip" in self.script:
            self._whole(200, gzip.compress(b"{}"), b"Content-Encoding: gzip\r\n")
        elif path in OPERATIONS:
            await OPERATIONS[path](self, asked)
        elif path == "/v1/embeddings":
            self._embed(asked)
        elif asked.get("stream"):
            await self._stream(path, asked)
        else:
            self.grow(self._chunks())
            choice = self._choice(path, " ".join(self._words()), "message")
            self._whole(200, self._json(self._object(path, [choice]) | self._usage_member()))
        if "after" in self.script:
            self._write(b"and another thing")
        await self.writer.drain()

    def grow(self, tokens: int) -> None:
        """Counts tokens of the answer, which can be told from now on."""
        self.served.completion_tokens += tokens
        self.server.note(self.served)

    def count(self, **meters: int) -> None:
        """Counts what else is served, which can be told from now on."""
        self.served.meters = meters
        self.server.note(self.served)

    def _open_stream(self) -> None:
        self._write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nServer: scripted\r\n"
            b"X-Request-Id: of-the-upstream\r\nSet-Cookie: secret=1\r\n\r\n"
        )

    async def _stream(self, path: str, asked: dict[str, Any]) -> None:
        self._open_stream()
        wants_usage = (asked.get("stream_options") or {}).get("include_usage")
        if path == "/v1/chat/completions":
            self._event(
                self._object(path, [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}])
            )
        for number, word in enumerate(self._words()):
            await self._maybe_stop(number)
            if "end" in self.script and number == int(self.script.get("break", "0")):
                self._write(b"0\r\n\r\n")
                return
            self.grow(1)
            grown = self._usage_member() if self.script.get("usage") == "growing" else {}
            self._event(self._object(path, [self._choice(path, f"{word} ", "delta")]) | grown)
            await self._wait(float(self.script.get("delay", "0")))
        await self._maybe_stop(self._chunks())
        last: dict[str, Any] = {
            "index": 0,
            "finish_reason": self.script.get("finish", "tool_calls" if "tool" in self.script else "stop"),
        }
        empty: dict[str, Any] = {"delta": {}} if path == "/v1/chat/completions" else {"text": ""}
        last |= empty
        self._event(self._object(path, [last]))
        if wants_usage and self.script.get("usage") != "no":
            self._event(self._object(path, []) | self._usage_member())
        if self.script.get("pause") == "usage":
            await self._wait(0)
            if self.script.get("break") == "usage":
                raise Stop
            await self._wait(3600)
        if self.script.get("done") != "no":
            self._write_chunk(b"data: [DONE]" + self._separator())
        self._write(b"0\r\n\r\n")

    async def _maybe_stop(self, number: int) -> None:
        """Breaks or stalls when the script says so; number -1 is before the head, which counts as chunk 0 of none."""
        reached = 0 if number == -1 else number or -1
        if self.script.get("stall") == str(reached):
            await self._wait(3600, self.server.goes_on)
        if "end" not in self.script and self.script.get("break") == str(reached):
            await self.writer.drain()
            if "reset" in self.script:
                self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                self.writer.transport.abort()
            raise Stop

    async def _wait(self, seconds: float, *unless: asyncio.Future[Any]) -> None:
        """Waits until one of these is done, or raises Stop as soon as the other side is gone."""
        await self.writer.drain()
        assert self.gone is not None
        if seconds:
            await asyncio.wait({self.gone, *unless}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self.gone.done():
            raise Stop

    def _chunks(self) -> int:
        return int(self.script.get("chunks", "3"))

    def _words(self) -> Iterator[str]:
        pad = "x" * int(self.script.get("pad", "0"))
        return (f"w{number}{pad}" for number in range(1, self._chunks() + 1))

    def _choice(self, path: str, text: str, member: str) -> dict[str, Any]:
        finish = (
            None if member == "delta" else self.script.get("finish", "tool_calls" if "tool" in self.script else "stop")
        )
        if path == "/v1/completions":
            return {"index": 0, "text": text, "finish_reason": finish}
        said: dict[str, Any] = {"content": text}
        if "tool" in self.script:
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look", "arguments": text}}
            said = {"content": None, "tool_calls": [call]}
        if member == "message":
            said |= {"role": "assistant"}
        return {"index": 0, member: said, "finish_reason": finish}

    def _object(self, path: str, choices: list[Any]) -> dict[str, Any]:
        kind = "text_completion" if path == "/v1/completions" else "chat.completion"
        if self.served.stream:
            kind = "text_completion" if path == "/v1/completions" else "chat.completion.chunk"
        told: dict[str, Any] = {"id": f"answer-{self.served.id}", "object": kind, "created": 1}
        tier = {"service_tier": self.script["tier"]} if "tier" in self.script else {}
        return told | {"model": self.served.model, "choices": choices} | tier

    def _usage_member(self) -> dict[str, Any]:
        if self.script.get("usage") == "no":
            return {}
        usage = self.served.usage()
        if self.script.get("usage") == "bad":
            usage["total_tokens"] += 1
        return {"usage": usage}

    def _embed(self, asked: dict[str, Any]) -> None:
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        data = [{"object": "embedding", "index": number, "embedding": [0.5, -0.5]} for number in range(len(texts))]
        counts = {"prompt_tokens": self.served.prompt_tokens, "total_tokens": self.served.prompt_tokens}
        usage: dict[str, Any] = {} if self.script.get("usage") == "no" else {"usage": counts}
        self._whole(200, self._json({"object": "list", "data": data, "model": self.served.model} | usage))

    def _fail(self, status: int) -> None:
        text, code = f"told to fail by {self.server.base_url}", self.script.get("code", "scripted")
        error = {"message": text, "type": "scripted", "param": None, "code": code, **filter_said(self.script, text)}
        is_billed = "billed" in self.script
        if is_billed:
            self.served.completion_tokens = self._chunks()
        else:  # Its account has nothing of what it refused, either.
            self.served.forget_tokens()
        self.server.note(self.served)
        usage = self._usage_member() if is_billed else {}
        self._whole(status, self._json({"error": error} | usage), b"Retry-After: 7\r\n" if status == 429 else b"")

    def _whole(self, status: int, body: bytes, fields: bytes = b"", media_type: bytes = b"application/json") -> None:
        if "close" in self.script:
            fields += b"Connection: close\r\n"
        fields += b"Content-Type: %b\r\nServer: scripted\r\n" % media_type
        head = b"HTTP/1.1 %d Scripted\r\n%bContent-Length: %d\r\n\r\n"
        self._write(head % (status, fields, len(body)) + (body[:10] if "cut" in self.script else body))
        if "cut" in self.script:
            raise Stop

    def _event(self, content: dict[str, Any]) -> None:
        self._write_chunk(b"data: " + self._json(content) + self._separator())

    def _separator(self) -> bytes:
        return b"\r\n\r\n" if self.script.get("lines") == "crlf" else b"\n\n"

    def _json(self, content: object) -> bytes:
        return json.dumps(content, separators=(", ", ": ") if "space" in self.script else (",", ":")).encode()

    def _write_chunk(self, payload: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(payload), payload))

    def _write(self, data: bytes) -> None:
        self.writer.write(data)


def prompt_of(asked: dict[str, Any]) -> str:
    """All text of a request."""
    if "messages" in asked:
        return " ".join(str(message.get("content") or "") for message in asked["messages"])
    return " ".join(texts_of(asked)).strip()


async def main(port: int, state: Path | None) -> None:
    server = await ScriptedUpstream(state).start(port)
    print(json.dumps({"ready": True, "base_url": server.base_url}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--state", type=Path)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(given.port, given.state))
    sys.exit(0)
