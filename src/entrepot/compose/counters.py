"""Where a gateway's limits are counted: in its own process, in one process of the machine, or in Valkey."""

import asyncio
import logging
from collections.abc import Callable
from typing import Literal, NamedTuple

from entrepot.adapters.machine_counters import MachineCounters
from entrepot.adapters.memory.counters import MemoryCounters
from entrepot.adapters.standings_file import FileStandings
from entrepot.adapters.valkey.client import CONNECT_S_MAX, Answer, ValkeyClient, parse_server
from entrepot.adapters.valkey.counters import REPLY_S_MAX, ValkeyCounters
from entrepot.adapters.valkey.eviction import ASKED, evicts_by
from entrepot.admission.weighed import OwnBase, WeighedCounters
from entrepot.compose.settings import Settings
from entrepot.compose.socket_paths import short_path
from entrepot.compose.tokens import installation
from entrepot.core.capacity import Limit
from entrepot.core.draws import Return
from entrepot.core.errors import BadInput
from entrepot.core.periods import Instant

READY_S_MAX = 3.0
_LOOK_S = 0.005
_LAST_WORDS_S = 0.02

_log = logging.getLogger("entrepot.counters")


def counter_store(settings: Settings) -> Literal["process", "machine", "valkey"]:
    """The place. Raises: BadInput."""
    if settings.counters == "auto":
        return "process" if settings.gateway_workers == 1 else "machine"
    if settings.counters == "process" and settings.gateway_workers > 1:
        raise BadInput(
            "counters = process counts each gateway process by itself, and gateway_workers is more than 1; "
            "set counters to machine or auto",
            param="counters",
        )
    if settings.counters == "valkey" and not settings.valkey_url:
        raise BadInput("counters = valkey needs a server; set ENTREPOT_VALKEY_URL", param="counters")
    return settings.counters


def valkey_name(settings: Settings) -> str:
    """The Valkey server of these settings without user and password, or ""."""
    return parse_server(settings.valkey_url).name if settings.valkey_url else ""


class GatewayCounters:
    """The counters of one gateway, and how they end."""

    def __init__(self, counters: WeighedCounters, shared: MachineCounters | ValkeyCounters | None = None) -> None:
        self.counters = counters
        self._shared = shared

    async def wait_for_books(self, now: Callable[[], Instant]) -> None:
        """Returns once the books have weighed budgets for this gateway, or have taken too long."""
        loop = asyncio.get_running_loop()
        end = loop.time() + READY_S_MAX
        while not self.counters.is_weighed and (loop.time() < end or self.counters.is_reading):
            self.counters.tick(now())
            await asyncio.sleep(0 if self.counters.is_reading else _LOOK_S)
        if not self.counters.is_weighed:
            _log.error("budgets_not_weighed; is the worker running? until it has, counters_lost decides on them")

    async def close(self) -> None:
        """Ends the connection, once what was said last is on its way."""
        if self._shared is not None:
            await asyncio.sleep(_LAST_WORDS_S)
            self._shared.close()


async def open_counters(settings: Settings, name: str, now: Callable[[], Instant]) -> GatewayCounters:
    """The counters of the gateway of this name. Raises: BadInput. Those that cannot be asked yet will be, in time."""
    loop = asyncio.get_running_loop()
    store = counter_store(settings)
    if store == "process":
        return GatewayCounters(_of_this_process(settings, name))
    shared: MachineCounters | ValkeyCounters
    if store == "machine":
        shared = MachineCounters(loop, short_path(settings.counter_socket), name)
    else:
        shared = ValkeyCounters(loop, parse_server(settings.valkey_url), name, installation(settings))
    end = loop.time() + READY_S_MAX
    while not shared.drawing.is_ready and loop.time() < end:
        shared.tick(now())
        await asyncio.sleep(_LOOK_S)
    if not shared.drawing.is_ready:
        _log.error("counters_not_ready store=%s; until they are, counters_lost decides", store)
    standings = FileStandings(settings.standings_file)
    return GatewayCounters(WeighedCounters(shared, shared.drawing, standings, name), shared)


def _of_this_process(settings: Settings, name: str) -> WeighedCounters:
    kept = MemoryCounters()

    def correct(limit: Limit, more: int, at: Instant) -> None:
        kept.give("books", (Return(limit, -more, 0, at),), at)

    scale = OwnBase(name, correct, kept.drop)
    return WeighedCounters(kept.holder(name), scale, FileStandings(settings.standings_file), name)


class Reached(NamedTuple):
    """A Valkey server. evicts_by: the policy by which it drops counters when it is full, or ""."""

    name: str
    evicts_by: str


async def reach_valkey(settings: Settings) -> Reached:
    """The server, once it has answered. Raises: BadInput when it cannot be reached."""
    server = parse_server(settings.valkey_url)
    client = ValkeyClient(asyncio.get_running_loop(), server, REPLY_S_MAX)
    end = asyncio.get_running_loop().time() + CONNECT_S_MAX
    while not client.is_connected and asyncio.get_running_loop().time() < end:
        client.tick()
        await asyncio.sleep(_LOOK_S)
    reached = client.is_connected
    memory: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
    client.execute(*ASKED, done=memory.set_result)
    policy = evicts_by(await memory)
    client.close()
    await asyncio.sleep(0)
    if not reached:
        raise BadInput(
            f"limits are counted in Valkey at {server.name}, which cannot be used: {client.fault}", param="valkey_url"
        )
    return Reached(server.name, policy)
