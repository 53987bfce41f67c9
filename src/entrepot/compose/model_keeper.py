"""Keeps a process for each local model that the world declares, and gateways told where they listen."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from entrepot.compose.books import local_models_declared, publish_snapshot
from entrepot.compose.local_models import LocalModel, can_run, write_models
from entrepot.compose.processes import ChildProcess, Role, Say
from entrepot.compose.settings import Settings
from entrepot.core.errors import EntrepotError

LOOK_S = 0.5  # How often the snapshot is looked at for another world; applying one publishes another snapshot.
_STOP_S = 5.0

MakeChild = Callable[[Role, Callable[[Mapping[str, object]], None]], ChildProcess]


class ModelKeeper:
    """The model processes of one data directory. make_child starts one."""

    def __init__(self, settings: Settings, make_child: MakeChild, say: Say) -> None:
        self._settings = settings
        self._make_child = make_child
        self._say = say
        self._processes: dict[LocalModel, ChildProcess] = {}
        self._ports: dict[LocalModel, int] = {}
        self._moved = asyncio.Event()

    @property
    def children(self) -> list[ChildProcess]:
        """The processes, of models that are ready and of others."""
        return list(self._processes.values())

    async def begin(self) -> None:
        """Starts a process for each model; whatever listened where before is forgotten."""
        write_models(self._settings, [])
        await self._reconcile()

    async def publish(self) -> None:
        """Publishes a snapshot that knows where the models that are ready now listen."""
        self._moved.clear()
        write_models(self._settings, list(self._placed()))
        await asyncio.to_thread(publish_snapshot, self._settings)

    async def keep(self) -> None:
        """Follows the world and the models until cancelled."""
        seen = self._signature()
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), LOOK_S)
            try:
                if self._signature() != seen:
                    await self._reconcile()
                if self._moved.is_set():
                    await self.publish()
                seen = self._signature()
            except (EntrepotError, OSError) as error:
                self._say(f"gateways could not be told where models are, and will be later: {error}")

    async def stop(self) -> None:
        """Stops every model."""
        await asyncio.gather(*(child.stop(_STOP_S) for child in self.children))
        write_models(self._settings, [])

    async def _reconcile(self) -> None:
        declared = await asyncio.to_thread(local_models_declared, self._settings)
        wanted = {
            LocalModel(upstream=upstream, model=model, kind=kind, name=name)
            for (upstream, model), (kind, name) in declared.items()
            if can_run(kind, name)
        }
        gone = [self._processes.pop(model) for model in self._processes.keys() - wanted]
        for model in sorted(wanted - self._processes.keys()):
            self._processes[model] = self._make_child(self._role(model), self._placing(model))
        await asyncio.gather(*(child.stop(_STOP_S) for child in gone))
        if gone:
            self._moved.set()

    def _placing(self, model: LocalModel) -> Callable[[Mapping[str, object]], None]:
        def placed(said: Mapping[str, object]) -> None:
            port = said.get("port")
            assert isinstance(port, int), f"model {model.model} said no port: {said}"
            self._ports[model] = port
            self._moved.set()

        return placed

    def _placed(self) -> Iterable[LocalModel]:
        for model in self._processes:
            if model in self._ports:
                yield msgspec.structs.replace(model, base_url=f"http://127.0.0.1:{self._ports[model]}/v1")

    def _role(self, model: LocalModel) -> Role:
        arguments = ("--model", model.name, "--home", str(self._settings.home))
        threads = ("--threads", str(self._settings.model_threads))
        drain = ("--drain", str(self._settings.drain_seconds))
        return Role(f"model {model.model}", "model", (*arguments, *threads, *drain))

    def _signature(self) -> tuple[int, int]:
        """What changes when a snapshot is published."""
        try:
            status = self._settings.snapshot_file.stat()
        except FileNotFoundError:
            return (0, 0)
        return (status.st_ino, status.st_mtime_ns)
