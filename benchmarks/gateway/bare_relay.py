"""The product's own connections to clients and upstreams with a key check between them and nothing else.

    BENCH_UPSTREAM=http://127.0.0.1:8000/v1 BENCH_KEY=sk-… python -m benchmarks.gateway.bare_relay PORT

What the gateway would cost if it did not find out who may do what, route, meter, keep a log or count. It is no mode of
the product: the same parts, put together here, and nowhere to go but to one upstream.
"""

import asyncio
import gc
import os
import sys
from typing import cast

import uvloop

from entrepot.core.usage_event import Outcome
from entrepot.edge.client_connection import ClientConnection, ClientLimits, Connection
from entrepot.edge.http_answers import JSON, LAST_CHUNK, chunk, stream_head, whole_head
from entrepot.edge.http_requests import Refusal, Request, RequestHead
from entrepot.relay.destination import Destination
from entrepot.relay.http1 import AnswerHead
from entrepot.relay.upstream import Broken, Lane, UpstreamConnection, UpstreamLimits, UpstreamPool

PATH = "/chat/completions"
SWEEP_S = 0.25


class BareRelay:
    """What all connections of the process speak to."""

    def __init__(self, destination: Destination, lane: Lane, key: bytes) -> None:
        self.limits = ClientLimits()
        self.stopping = False
        self.connections: set[Connection] = set()
        self._destination = destination
        self._lane = lane
        self._keys = {key: "customer"}

    def handle(self, request: Request, connection: ClientConnection) -> None:
        """Sends the request on, or turns it away."""
        if request.head.credential.text not in self._keys:
            refuse(connection, 401)
            return
        errand = Errand(connection, self._destination.request(PATH, "bare", request.body))
        connection.wait_for(errand)
        self._lane.lend(errand)

    def admit(self, head: RequestHead, connection: ClientConnection) -> bool:
        """True: the body is always read."""
        del head, connection
        return True

    def refuse(self, refusal: Refusal, connection: ClientConnection) -> None:
        """Answers bytes that are no request."""
        refuse(connection, refusal.status)


class Errand:
    """One request on its way: what the client waits for, and what the upstream's connection speaks to."""

    __slots__ = ("_client", "_request", "_upstream")

    def __init__(self, client: ClientConnection, request: bytes) -> None:
        self._client = client
        self._request = request
        self._upstream: UpstreamConnection | None = None

    def connected(self, connection: UpstreamConnection) -> None:
        """Sends the request."""
        self._upstream = connection
        connection.send(self._request, self)

    def unreachable(self, reason: str) -> None:
        """Answers 502."""
        del reason
        refuse(self._client, 502)

    def on_whole(self, head: AnswerHead, body: bytes) -> None:
        """Answers with the whole answer."""
        self._client.write(whole_head(head.status, JSON, len(body), "") + body)
        self._client.finish(keep=True)

    def on_head(self, head: AnswerHead) -> None:
        """Begins the answer."""
        del head
        self._client.write(stream_head("", chunked=True))

    def on_chunk(self, data: bytes) -> bool:
        """Passes on one whole chunk as it is; anything else has to be read, for the end may be in it."""
        size_end = data.find(b"\r\n", 0, 8)
        if size_end < 1 or data[:2] == b"0\r" or int(data[:size_end], 16) != len(data) - size_end - 4:
            return False
        self._client.write(data)
        return True

    def on_body(self, payload: bytes) -> None:
        """Passes on what came."""
        self._client.write(chunk(payload))

    def on_end(self) -> None:
        """Ends the answer."""
        self._client.write(LAST_CHUNK)
        self._client.finish(keep=True)

    def on_broken(self, broken: Broken) -> None:
        """Ends the client's connection."""
        del broken
        self._client.close()

    def pause(self, paused: bool) -> None:
        """Slows the upstream down to the client."""
        if self._upstream is not None:
            self._upstream.pause(paused)

    def client_left(self, outcome: Outcome = "client_left") -> None:
        """Tells the upstream to stop."""
        del outcome
        if self._upstream is not None:
            self._upstream.abandon()


def refuse(connection: ClientConnection, status: int) -> None:
    """Answers with a status and nothing to it."""
    connection.write(whole_head(status, JSON, 2, "") + b"{}")
    connection.finish(keep=True)


async def serve(port: int) -> None:
    """Never returns."""
    loop = asyncio.get_running_loop()
    pool = UpstreamPool(loop, UpstreamLimits())
    destination = Destination(os.environ["BENCH_UPSTREAM"], "sk-upstream", [PATH])
    relay = BareRelay(destination, pool.lane(destination.origin), os.environ["BENCH_KEY"].encode())

    def met() -> asyncio.Protocol:
        return cast(asyncio.Protocol, ClientConnection(relay))  # One by its methods, which is what loops look at.

    await loop.create_server(met, "127.0.0.1", port, backlog=4096)
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)  # As the gateway does, and for its reason.
    while True:
        await asyncio.sleep(SWEEP_S)
        now = loop.time()
        for connection in list(relay.connections):
            connection.sweep(now)
        pool.sweep(now)


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
