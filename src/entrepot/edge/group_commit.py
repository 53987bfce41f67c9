"""Group commit: many authors in, one write and one flush at a time out.

While a group is being made durable in a thread, what arrives waits; the next group takes all of it. So the number of
records per flush grows with the load by itself, and nobody waits for more than two flushes.

When the log cannot be written, everything that is not durable is refused at once and the log is tried again, with
growing pauses, until it can be; nobody need do anything.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from typing import NamedTuple, Protocol

from entrepot.core.errors import UsageLogUnavailable
from entrepot.ports.event_log import GroupLog

GROUP_BYTES_MAX = 8 * 2**20  # A group is larger only when a single batch is.
WAITING_BYTES_MAX = 64 * 2**20  # Beyond this the authors are asked to pause until half of it is done.
RETRY_S_MIN = 0.05
RETRY_S_MAX = 5.0

_events = logging.getLogger("entrepot.log")


class Author(Protocol):
    """Whoever is told what became of a batch."""

    def committed(self, sequence: int) -> None:
        """Every batch up to this one is durable."""
        ...

    def refused(self, reason: str) -> None:
        """Every batch not committed yet is refused."""
        ...


class Batch(NamedTuple):
    """Frames that wait to be made durable together. sequence: the author's, ascending."""

    author: Author
    sequence: int
    frames: bytes
    records: int


class GroupCommit:
    """Makes batches durable, in order of arrival. Lives in an event loop; the disk is met in the executor, act by act.

    refusal: why nothing is accepted now, or None. broken: gets an exception when something failed that nobody foresaw;
    the process should end then. on_change: told of each new refusal. on_pressure: told to pause, or to go on.
    """

    def __init__(
        self,
        log: GroupLog,
        executor: Executor,
        on_change: Callable[[str | None], None],
        on_pressure: Callable[[bool], None],
    ) -> None:
        self.refusal: str | None = None
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        self._log = log
        self._executor = executor
        self._on_change = on_change
        self._on_pressure = on_pressure
        self._waiting: deque[Batch] = deque()
        self._waiting_bytes = 0
        self._under_pressure = False
        self._flush_planned = False
        self._flushing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._retry_s = RETRY_S_MIN
        self._retry: asyncio.TimerHandle | None = None
        self._stopped = False

    def start(self) -> None:
        """Finds out early whether the log can be written."""
        self._try_again()

    async def stop(self) -> None:
        """Finishes what has been submitted, then closes the log."""
        await self._idle.wait()
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
        await self._loop.run_in_executor(self._executor, self._log.close)

    def submit(self, batch: Batch) -> None:
        """Takes a batch into the next group, or refuses it."""
        if self.refusal is not None:
            batch.author.refused(self.refusal)
            return
        self._waiting.append(batch)
        self._waiting_bytes += len(batch.frames)
        if self._waiting_bytes > WAITING_BYTES_MAX:
            self._press(True)
        self._plan_flush()

    def in_thread(self, act: Callable[[], None], done: Callable[[BaseException | None], None]) -> None:
        """Runs act beside the loop, when the disk is free, then done in the loop with its failure or None."""

        def finished(future: asyncio.Future[None]) -> None:
            error = future.exception()
            if error is None or isinstance(error, OSError | UsageLogUnavailable):
                done(error)
            elif not self.broken.done():
                self.broken.set_exception(error)

        self._loop.run_in_executor(self._executor, act).add_done_callback(finished)

    def _plan_flush(self) -> None:
        """A flush soon: once every socket that is readable now has been read."""
        if self._waiting and not self._flushing and not self._flush_planned:
            self._flush_planned = True
            self._idle.clear()
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        self._flushing = True
        group: list[Batch] = []
        size = 0
        while self._waiting and size < GROUP_BYTES_MAX:
            batch = self._waiting.popleft()
            size += len(batch.frames)
            group.append(batch)
        self._waiting_bytes -= size
        frames = [batch.frames for batch in group]
        records = sum(batch.records for batch in group)
        self.in_thread(lambda: self._log.commit(frames, records), lambda error: self._flushed(error, group))

    def _flushed(self, error: BaseException | None, group: list[Batch]) -> None:
        self._flushing = False
        if error is not None:  # Of whatever kind: only what a commit returned from is durable.
            self._refuse(_said(error), group)
            return
        if self._waiting_bytes < WAITING_BYTES_MAX // 2:
            self._press(False)
        self._plan_flush()  # The disk goes on while authors are told.
        newest = {batch.author: batch.sequence for batch in group}
        for author, sequence in newest.items():
            author.committed(sequence)
        if not self._waiting:
            self._idle.set()

    def _refuse(self, reason: str, group: list[Batch]) -> None:
        _events.error("usage_log_unavailable reason=%s", reason)
        self.refusal = reason
        refused = dict.fromkeys(batch.author for batch in (*group, *self._waiting))
        self._waiting.clear()
        self._waiting_bytes = 0
        self._press(False)
        for author in refused:
            author.refused(reason)
        self._on_change(reason)
        self._idle.set()
        self._try_later()

    def _try_later(self) -> None:
        if self._stopped:
            return
        self._retry = self._loop.call_later(self._retry_s, self._try_again)
        self._retry_s = min(self._retry_s * 2, RETRY_S_MAX)

    def _try_again(self) -> None:
        self.in_thread(self._log.reopen, self._tried_again)

    def _tried_again(self, error: BaseException | None) -> None:
        if error is None:
            self._retry_s = RETRY_S_MIN
            if self.refusal is not None:
                _events.warning("usage_log_available_again")
                self.refusal = None
                self._on_change(None)
        elif self.refusal is None:
            self._refuse(_said(error), [])
        else:
            self._try_later()

    def _press(self, under_pressure: bool) -> None:
        if under_pressure != self._under_pressure:
            self._under_pressure = under_pressure
            self._on_pressure(under_pressure)


def _said(error: BaseException) -> str:
    return error.message if isinstance(error, UsageLogUnavailable) else f"cannot write the usage log: {error}"
