"""Two upstreams of one deployment, of which the second is asked as well when the first does not answer in time."""

import asyncio
from typing import Any

import pytest

from entrepot.core.upstream_rules import PoolRules, UpstreamRules
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import Gateway, deployment, target

SOON = PoolRules(hedge_after_ms=20)
NEVER_IN_TIME = PoolRules(hedge_after_ms=60_000)


def pair(gateway: Gateway, script: str, routing: PoolRules = SOON, **rules: UpstreamRules) -> ScriptedUpstream:
    """Serves `chat` from a first upstream that does as the script says, and from the gateway's own as the second."""
    first = gateway.another_upstream(script)
    targets = target(first.base_url, "first"), target(gateway.upstream.base_url, "second", rank=1)
    gateway.serve(deployment("chat", *targets, routing=routing), **rules)
    return first


def states(*upstreams: ScriptedUpstream) -> list[list[str]]:
    """How what each was asked stands, as it sees it."""
    return [[served.state for served in upstream.served.values()] for upstream in upstreams]


def nobody_is_left(gateway: Gateway) -> bool:
    """Whether no upstream has anything under way."""
    return all(endpoint.in_flight == 0 for endpoint in gateway.flow.ways.fleet.endpoints.values())


def connecting_when_told(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, *ports: int
) -> tuple[list[int], dict[int, asyncio.Event]]:
    """(ports that the gateway waits to be connected with, what lets it) at these ports."""
    may_connect = {port: asyncio.Event() for port in ports}
    waiting: list[int] = []
    connect = gateway.loop.create_connection

    async def when_told(made: Any, host: str, port: int, **how: Any) -> Any:
        if port in may_connect:
            waiting.append(port)
            await may_connect[port].wait()
        return await connect(made, host, port, **how)

    monkeypatch.setattr(gateway.loop, "create_connection", when_told)
    return waiting, may_connect
