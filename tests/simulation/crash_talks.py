"""Realtime sessions of a crash run: an upstream in this process, and clients that talk to it through the product."""

import asyncio
import json
import logging
from dataclasses import dataclass
from random import Random
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.simulation.crash_counts import INSTANCE, Lines, Logged, Meters, used
from tests.simulation.crash_plan import SPAN_S
from tests.simulation.crash_processes import Product
from tests.support.realtime import create
from tests.support.realtime_upstream import RealtimeUpstream

_SESSIONS = 6
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class _Planned:
    """A session: when it begins, what each of its responses is told, and after how many events its client leaves."""

    at_s: float
    scripts: tuple[str, ...]
    leave_after: int


class Talks:
    """told: {request id: its meters} of the responses that a client has had to their end."""

    def __init__(self, chance: Random) -> None:
        self._plan = [_plan_session(chance) for _ in range(_SESSIONS)]
        self._upstream = RealtimeUpstream()
        self.told: dict[str, Meters] = {}

    @property
    def base_url(self) -> str:
        return self._upstream.base_url

    async def start(self) -> None:
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)  # Gateways are killed while it shakes hands.
        await self._upstream.start()

    async def stop(self) -> None:
        await self._upstream.stop()

    async def hold_all(self, product: Product, key: str) -> None:
        """Returns when every session has ended, or nobody was there to hold it."""
        await asyncio.gather(*(self._hold(planned, product, key) for planned in self._plan))

    async def _hold(self, planned: _Planned, product: Product, key: str) -> None:
        await asyncio.sleep(planned.at_s)
        url = product.gateway.replace("http:", "ws:") + "/v1/realtime?model=talk"
        try:
            async with (
                asyncio.timeout(_PATIENCE_S),
                connect(url, additional_headers={"authorization": f"Bearer {key}"}) as connection,
            ):
                name = json.loads(await connection.recv())["session"]["id"]
                seen = 0
                for number, script in enumerate(planned.scripts, 1):
                    await create(connection, script)
                    while (event := json.loads(await connection.recv()))["type"] != "response.done":
                        seen += 1
                        if seen > planned.leave_after:
                            return
                    self.told[f"{name}.{number}"] = _meters(event["response"]["usage"])
        except (OSError, TimeoutError, WebSocketException):
            pass

    def served(self, logged: Logged) -> Lines:
        """What each response was served, as a scripted upstream writes it down.

        A gateway that was lost before it had read of a response can know nothing of it.
        """
        lines: dict[str, Any] = {}
        for name, held in self._upstream.sessions.items():
            left = held.given
            for number, usage in enumerate(held.done, 1):
                meters = _meters(usage)
                left -= meters.get("output_tokens", 0)
                lines[f"{name}.{number}"] = {"state": "finished", "stream": True, "meters": meters, "usage": None}
            last, begun = f"{name}.{len(held.done)}", f"{name}.{len(held.done) + 1}"
            if last not in logged.admitted and name[INSTANCE] in logged.lost:
                lines.pop(last, None)
            if begun in logged.admitted:
                told = {"prompt_tokens": 0, "completion_tokens": left}
                lines[begun] = {"state": "cancelled", "stream": True, "meters": {}, "usage": told}
        return lines


def _plan_session(chance: Random) -> _Planned:
    scripts = []
    for _ in range(chance.randint(1, 4)):
        script = f"parts={chance.randint(1, 12)} delay={chance.choice((0, 0.02, 0.1))}"
        scripts.append(script + (f" gone={chance.randint(0, 5)}" if chance.random() < 0.1 else ""))
    return _Planned(chance.uniform(0, SPAN_S), tuple(scripts), chance.choice((3, 10, 1000, 1000)))


def _meters(usage: Any) -> Meters:
    """The exclusive meters of a realtime upstream's usage, without the zeros; written apart from the product's own."""
    into, out_of = usage["input_token_details"], usage["output_token_details"]
    meters = {
        "input_tokens": into["text_tokens"],
        "audio_input_tokens": into["audio_tokens"],
        "output_tokens": out_of["text_tokens"],
        "audio_output_tokens": out_of["audio_tokens"],
    }
    return used(meters)
