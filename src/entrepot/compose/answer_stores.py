"""Where a gateway process keeps answers: its own memory, and a Valkey server if the settings name one."""

import asyncio

from entrepot.adapters.memory.answer_store import MemoryAnswerStore
from entrepot.adapters.valkey.answer_store import ValkeyAnswerStore
from entrepot.adapters.valkey.client import ValkeyClient, parse_server
from entrepot.compose.settings import Settings
from entrepot.core.tenancy import CacheStore
from entrepot.ports.answer_store import AnswerStore


class AnswerStores:
    """The stores by the names that a world file has for them."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self.by_name: dict[CacheStore, AnswerStore] = {"memory": MemoryAnswerStore(settings.cache_memory_mb * 2**20)}
        self._valkey: ValkeyClient | None = None
        if settings.valkey_url:
            self._valkey = ValkeyClient(loop, parse_server(settings.valkey_url))
            self._valkey.tick()
            self.by_name["valkey"] = ValkeyAnswerStore(self._valkey)

    def tick(self) -> None:
        """To be called about once a second: makes the connection anew where it was lost."""
        if self._valkey is not None:
            self._valkey.tick()

    def close(self) -> None:
        """Ends the connection."""
        if self._valkey is not None:
            self._valkey.close()
