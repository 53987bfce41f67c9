"""What happens to the product and its upstreams in a crash run, decided by its seed: what, to whom, and when."""

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from tests.simulation.crash_plan import SPAN_S
from tests.simulation.crash_processes import Product, Upstream, send, tries
from tests.simulation.crash_world import world_text

VICTIMS = (*("gateway 1", "gateway 2", "log") * 3, *("worker", "jobs", "counters"))
MISFORTUNES_MAX = 4
KINDS = ("kill", "pause", "stop", "reload", "apply", "revoke", "upstream", "reboot")
_WEIGHTS = {"kill": 10, "pause": 5, "stop": 3, "reload": 2, "apply": 2, "revoke": 1, "upstream": 3, "reboot": 2}
_PRICES_CHANGE_IN = timedelta(seconds=3)


@dataclass(frozen=True)
class Misfortune:
    """One of KINDS. victim: a child of the product, or the number of an upstream; for_s: how long it is out."""

    at_s: float
    kind: str
    victim: str
    for_s: float = 0.0
    ends_killed: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.victim}".strip() + (" and killed" if self.ends_killed else "")


def plan_misfortunes(chance: Random, kinds: Sequence[str], victims: Sequence[str], at_most: int) -> list[Misfortune]:
    """Some of these, in the order of time. A world is applied once, and a key revoked once."""
    found: list[Misfortune] = []
    for at_s in sorted(chance.uniform(0.2, SPAN_S) for _ in range(chance.randint(1, at_most))):
        left = [kind for kind in kinds if kind not in {"apply", "revoke"} or all(kind != one.kind for one in found)]
        kind = chance.choices(left, [_WEIGHTS[kind] for kind in left])[0]
        victim = ""
        if kind in {"kill", "pause"}:
            victim = chance.choice(victims)
        elif kind == "stop":
            victim = chance.choice([name for name in victims if name.startswith("gateway")])
        elif kind == "upstream":
            victim = chance.choice("01")
        for_s = chance.uniform(0.1, 1.0) if kind in {"pause", "upstream"} else 0.0
        found.append(Misfortune(at_s, kind, victim, for_s, kind == "pause" and chance.random() < 0.5))
    return found


class Fate:
    """Lets misfortunes happen. happened: as far as there was a victim; guest: the id of the key that may be revoked."""

    def __init__(
        self, product: Product, upstreams: Sequence[Upstream], world: Path, base_urls: Sequence[str], guest: str
    ) -> None:
        self._product, self._upstreams, self._world, self._guest = product, upstreams, world, guest
        self._base_urls = base_urls
        self._prices_change_in = _PRICES_CHANGE_IN
        self.happened: list[Misfortune] = []
        self._one_at_a_time = asyncio.Lock()

    async def befall(self, misfortunes: Sequence[Misfortune]) -> None:
        """Returns when all have happened and are over, as far as they end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        under_way = []
        for misfortune in misfortunes:
            await asyncio.sleep(max(0.0, began + misfortune.at_s - loop.time()))
            under_way.append(asyncio.create_task(self._happen(misfortune)))
        await asyncio.gather(*under_way)

    async def _happen(self, misfortune: Misfortune) -> None:
        match misfortune.kind:
            case "kill":
                self._tell(misfortune, signal.SIGKILL)
            case "stop":
                self._tell(misfortune, signal.SIGTERM)
            case "pause":
                await self._pause(misfortune)
            case _:
                self.happened.append(misfortune)
                async with self._one_at_a_time:
                    await asyncio.to_thread(self._change, misfortune)

    def _change(self, misfortune: Misfortune) -> None:
        """What takes its time."""
        match misfortune.kind:
            case "reload":
                self._product.signal(signal.SIGHUP)
            case "apply":
                self._until_done(self._apply)
            case "revoke":
                self._until_done(lambda: self._product.entrepot("key", "revoke", self._guest))
            case "upstream":
                upstream = self._upstreams[int(misfortune.victim)]
                upstream.kill()
                time.sleep(misfortune.for_s)
                upstream.start()
            case "reboot":
                self._product.kill()
                self._product.start()

    def _apply(self) -> str:
        """A price that was used cannot change; where applying took too long for that, there is more time again."""
        at = (datetime.now(UTC) + self._prices_change_in).isoformat()
        self._prices_change_in *= 2
        self._world.write_text(world_text(self._base_urls, at))
        return self._product.entrepot("apply", str(self._world))

    def _until_done(self, command: Callable[[], str]) -> None:
        """Tries a command again that met another misfortune, as its operator does."""
        failed = None
        for _ in tries(30.0):
            try:
                command()
            except AssertionError as error:
                failed = error
            else:
                return
        raise failed or AssertionError("there was no time to try")

    def _tell(self, misfortune: Misfortune, number: signal.Signals) -> int:
        """The victim's process id, or 0 where there is none."""
        process = self._product.children().get(misfortune.victim, 0)
        if not process or not send(process, number):
            return 0
        self.happened.append(misfortune)
        return process

    async def _pause(self, misfortune: Misfortune) -> None:
        process = self._tell(misfortune, signal.SIGSTOP)
        if process:
            await asyncio.sleep(misfortune.for_s)
            if misfortune.ends_killed:
                send(process, signal.SIGKILL)
            send(process, signal.SIGCONT)
