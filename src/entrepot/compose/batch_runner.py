"""Runs the batches that wait: one of each project at a time, so that nobody waits for another's, and a few at once."""

import asyncio
import logging
from contextlib import suppress

from entrepot.core.jobs import Batch
from entrepot.flows.run_batches import Desk, run_batch
from entrepot.ports.jobs import BatchRequests

BATCHES_AT_ONCE = 8
REQUESTS_AT_ONCE = 2  # Of one batch: what waits for a day leaves room for whoever waits now.
LOOK_S = 1.0

_log = logging.getLogger("entrepot.jobs")


class BatchRunner:
    """Looks for batches when woken, and each second for those that could not go on."""

    def __init__(self, desk: Desk, requests: BatchRequests) -> None:
        self._desk = desk
        self._requests = requests
        self._running: dict[str, asyncio.Task[None]] = {}  # By project.
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be something to run."""
        self._woken.set()

    async def run(self) -> None:
        """Runs what there is, for ever; what runs is awaited when this is cancelled."""
        try:
            while True:
                self._woken.clear()
                self._begin()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), LOOK_S)
        finally:
            if self._running:
                await asyncio.wait(list(self._running.values()))

    def _begin(self) -> None:
        for project, batch in self._desk.store.unfinished():
            if project not in self._running and len(self._running) < BATCHES_AT_ONCE:
                self._running[project] = asyncio.create_task(self._run(project, batch))

    async def _run(self, project: str, batch: Batch) -> None:
        try:
            ended = await run_batch(self._desk, self._requests, project, batch, parallel=REQUESTS_AT_ONCE)
            if ended.status != "in_progress":
                self.wake()
        except Exception:  # noqa: BLE001 - one batch must not keep the others from running; it is tried again
            _log.exception("batch_interrupted batch=%s", batch.id)
        finally:
            del self._running[project]
