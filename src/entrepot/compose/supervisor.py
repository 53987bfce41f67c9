"""`entrepot serve`: starts the processes in order, keeps them running, stops them in order, and leaves none behind."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from entrepot.compose.counters import counter_store, valkey_name
from entrepot.compose.gateway_keeper import READY_S_MAX, STOP_S_MAX, GatewayKeeper, reloaded, remove_socket
from entrepot.compose.listening import take_address
from entrepot.compose.model_keeper import ModelKeeper
from entrepot.compose.processes import ChildProcess, Role, Say, first_ready
from entrepot.compose.running import ROLES, Running, forget_running, hold_role, write_running
from entrepot.compose.settings import Settings
from entrepot.core.errors import EntrepotError, StartFailed

_MODELS_READY_S_MAX = 300.0  # A first start prepares the models' files.


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    prepare: called in a thread once the log runs, with the settings as they came to be (a port 0 is settled then).
    finish: the same, once everything is ready. all_models: whether a model that cannot be served fails the start.
    read_settings: reads them again; raises BadInput. None: they cannot be read twice.
    began: the reading of time.monotonic from which the start is measured.
    """

    roles: Sequence[str] = ROLES
    prepare: Callable[[Settings], None] = lambda _: None
    finish: Callable[[Settings], None] = lambda _: None
    all_models: bool = False
    read_settings: Callable[[], Settings] | None = None
    began: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs a plan to its end. say: tells the operator something that matters, in one line."""

    def __init__(self, settings: Settings, plan: Plan, say: Say) -> None:
        self.settings = self._asked = settings
        self._plan = plan
        self._say = say
        self._children: dict[str, ChildProcess] = {}  # By name; gateways and models have keepers of their own.
        self._models = ModelKeeper(settings, self._child, say)
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._is_told_to_reload = False
        self._changed = asyncio.Event()
        self._gateways = GatewayKeeper(self._child, self._changed.set, say)

    async def run(self, on_started: Callable[[Settings, float], None]) -> None:
        """Returns after an orderly stop.

        on_started: told the settings as they came to be and the seconds it took, once everything is ready.
        Raises: EntrepotError when the start failed; everything is stopped again then.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload, has_terminal())
        with ExitStack() as held:
            for role in self._plan.roles:
                held.enter_context(hold_role(self.settings, role))
            self._take_addresses(held)
            try:
                if await self._unless_told(self._start()):
                    self._write_running()
                    on_started(self.settings, time.monotonic() - self._plan.began)
                    await self._unless_told(self._keep())
            finally:
                await self._end()

    def _take_addresses(self, held: ExitStack) -> None:
        if "gateway" in self._plan.roles:
            self.settings = self._gateways.take_addresses(self.settings)
            held.callback(remove_socket, self.settings)
        if "control" in self._plan.roles:
            address, taken = take_address(self.settings, "console_address")
            self.settings = replace(self.settings, console_address=address)
            held.enter_context(taken)

    async def _start(self) -> None:
        if "log" in self._plan.roles:
            await self._require([self._begin(Role("log", "log", ("--home", str(self.settings.home))))])
        await asyncio.to_thread(self._plan.prepare, self.settings)
        if "models" in self._plan.roles:
            await self._models.begin()
        if "worker" in self._plan.roles:
            self._begin(Role("worker", "worker"))
        if "control" in self._plan.roles:
            self._begin(Role("control", "control"))
        await self._await_models()
        if "gateway" in self._plan.roles:
            await self._keep_counters(self.settings)
            self._gateways.begin(self.settings)
        if "jobs" in self._plan.roles:
            self._begin(Role("jobs", "jobs"))
        for children in (*([child] for child in self._named("worker", "control", "jobs")), self._gateways.children):
            await self._require(children)
        await asyncio.to_thread(self._plan.finish, self.settings)

    async def _keep_counters(self, settings: Settings) -> None:
        """Starts the process that keeps counters for several gateways, where there shall be one and is none."""
        if counter_store(settings) == "machine" and "counters" not in self._children:
            await self._require([self._begin(Role("counters", "counters", ("--home", str(settings.home))))])

    async def _await_models(self) -> None:
        """Waits for the models, so that gateways start with a snapshot that knows where they are."""
        if "models" not in self._plan.roles:
            return
        failed = await first_ready(self._models.children, _MODELS_READY_S_MAX)
        if failed is not None and self._plan.all_models:
            raise _start_failed(failed)
        await self._models.publish()

    def _begin(self, role: Role) -> ChildProcess:
        child = self._children[role.name] = self._child(role)
        return child

    def _named(self, *names: str) -> list[ChildProcess]:
        return [self._children[name] for name in names if name in self._children]

    def _child(self, spec: Role, on_ready: Callable[[Mapping[str, object]], None] | None = None) -> ChildProcess:
        def ready(said: Mapping[str, object]) -> None:
            self._changed.set()
            if on_ready is not None:
                on_ready(said)

        told = spec if spec.environment else replace(spec, environment=self.settings.environment())
        return ChildProcess(told, say=self._say, on_ready=ready, on_outgrown=self._reload.set)

    async def _require(self, children: Sequence[ChildProcess]) -> None:
        failed = await first_ready(children, READY_S_MAX)
        if failed is not None:
            raise _start_failed(failed)

    async def _keep(self) -> None:
        duties = [self._tell_who_runs()]
        if "models" in self._plan.roles:
            duties.append(self._models.keep())
        if "gateway" in self._plan.roles:
            duties.append(self._reload_when_told())
        tasks = [asyncio.create_task(duty) for duty in duties]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _reload_when_told(self) -> None:
        """Replaces gateways when the operator says so, by the settings as they are now, and when one has outgrown."""
        while True:
            await self._reload.wait()
            self._reload.clear()
            is_told, self._is_told_to_reload = self._is_told_to_reload, False
            if is_told:
                await self._reload_with_settings()
            elif any(child.is_outgrown for child in self._gateways.children):
                await self._gateways.reload(self.settings)
            self._changed.set()

    async def _reload_with_settings(self) -> None:
        try:
            asked = self._plan.read_settings() if self._plan.read_settings else self._asked
            settings = reloaded(self.settings, self._asked, asked, self._say)
            await self._keep_counters(settings)
        except EntrepotError as error:
            self._say(f"the settings cannot be read again, so nothing changes: {error.message}")
            return
        if await self._gateways.reload(settings):
            self.settings = settings
            self._say("reloaded: new gateways serve; the old ones finish their answers")

    async def _tell_who_runs(self) -> None:
        while True:
            self._changed.clear()
            self._write_running()
            await self._changed.wait()

    def _write_running(self) -> None:
        children = {child.role.name: child.pid for child in self._everyone() if child.pid is not None}
        finishing = enumerate(self._gateways.replaced, 1)
        children |= {f"replaced gateway {number}": child.pid for number, child in finishing if child.pid is not None}
        running = Running(
            os.getpid(),
            self.settings.gateway_url,
            self.settings.console_address.url,
            children,
            self.settings.environment(with_secrets=False),
            valkey_name(self.settings),
            self._plan.roles,
        )
        try:
            write_running(self.settings, running)
        except OSError as error:  # Only the console and the doctor miss it.
            self._say(f"{self.settings.run_directory} cannot be written: {error.strerror}")

    async def _end(self) -> None:
        """Stops those who answer clients first, and the log, to which all others write, last."""
        forget_running(self.settings, self._plan.roles)
        drain_s = self.settings.drain_seconds + STOP_S_MAX
        facing_clients = self._named("control", "jobs")
        await asyncio.gather(self._gateways.stop(drain_s), *(child.stop(drain_s) for child in facing_clients))
        await asyncio.gather(*(child.stop(STOP_S_MAX) for child in self._named("counters", "worker")))
        await self._models.stop()
        await asyncio.gather(*(child.stop(STOP_S_MAX) for child in self._named("log")))

    async def _unless_told(self, work: Coroutine[object, object, None]) -> bool:
        """Whether the work was done; false when the operator wants to stop, the work being given up then."""
        task = asyncio.create_task(work)
        told = asyncio.create_task(self._stop.wait())
        await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if task.done():
            task.result()
            return not self._stop.is_set()
        task.cancel()
        await asyncio.wait({task})
        return False

    def _told_to_stop(self) -> None:
        if self._stop.is_set():  # Told twice: whoever asks has no patience left.
            for child in (*self._everyone(), *self._gateways.replaced):
                child.kill()
        self._stop.set()

    def _told_to_reload(self, had_terminal: bool) -> None:
        """SIGHUP also says that the terminal is gone, for which it was made; then nobody is there to see us run."""
        if had_terminal and not has_terminal():
            self._told_to_stop()
        self._is_told_to_reload = True
        self._reload.set()

    def _everyone(self) -> list[ChildProcess]:
        return [*self._children.values(), *self._gateways.children, *self._models.children]


def has_terminal() -> bool:
    """Whether this process runs in a terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _start_failed(child: ChildProcess) -> StartFailed:
    words = " / ".join(child.last_words) or "it said nothing"
    how = f"ended ({child.how_ended})" if child.failed.is_set() else "did not get ready in time"
    return StartFailed(f"{child.role.name} {how} while starting: {words}")
