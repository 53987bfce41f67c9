"""Group commit: many authors in, one write and one flush at a time out.

The flush runs in the loop itself. Nothing useful could be done meanwhile, since nothing more can become durable, and
what arrives waits in the sockets; the next turn of the loop reads all of them, and that is the next group. So the
number of records per flush grows with the load by itself, nobody waits for more than two flushes, and a disk that is
slow holds its authors back without anybody counting.

When the log cannot be written, everything that is not durable is refused at once and the log is tried again, with
growing pauses, until it can be; nobody need do anything.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

from entrepot.core.errors import UsageLogUnavailable
from entrepot.ports.event_log import GroupLog

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
    frames: bytes | memoryview
    records: int


class GroupCommit:
    """Makes batches durable, in order of arrival. Make it in a running event loop, which it holds up while it flushes.

    refusal: why nothing is accepted now, or None. broken: gets an exception when something failed that nobody foresaw;
    the process should end then. on_change: told of each new refusal, and of None when it is over.
    """

    def __init__(self, log: GroupLog, on_change: Callable[[str | None], None]) -> None:
        self.refusal: str | None = None
        self._loop = asyncio.get_running_loop()
        self.broken: asyncio.Future[None] = self._loop.create_future()
        self._log = log
        self._on_change = on_change
        self._waiting: list[Batch] = []
        self._retry_s = RETRY_S_MIN
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Finds out early whether the log can be written."""
        self._try_again()

    def stop(self) -> None:
        """Finishes what has been submitted, then closes the log."""
        self._flush()
        if self._retry is not None:
            self._retry.cancel()
        self._log.close()

    def submit(self, batch: Batch) -> None:
        """Takes a batch into the next group, or refuses it."""
        if self.refusal is not None:
            batch.author.refused(self.refusal)
            return
        if not self._waiting:  # The flush comes once every socket that is readable now has been read.
            self._loop.call_soon(self._flush)
        self._waiting.append(batch)

    def _flush(self) -> None:
        group, self._waiting = self._waiting, []
        if not group:
            return
        try:
            self._log.commit([batch.frames for batch in group], sum([batch.records for batch in group]))
        except (OSError, UsageLogUnavailable) as error:  # Only what a commit returned from is durable.
            self._refuse(_said(error), group)
        except Exception as error:  # noqa: BLE001 - whoever made this object ends the process with it
            self._break(error)
        else:
            for author, sequence in {batch.author: batch.sequence for batch in group}.items():
                author.committed(sequence)

    def _refuse(self, reason: str, group: list[Batch]) -> None:
        _events.error("usage_log_unavailable reason=%s", reason)
        self.refusal = reason
        for author in dict.fromkeys(batch.author for batch in group):
            author.refused(reason)
        self._on_change(reason)
        self._try_later()

    def _try_later(self) -> None:
        self._retry = self._loop.call_later(self._retry_s, self._try_again)
        self._retry_s = min(self._retry_s * 2, RETRY_S_MAX)

    def _try_again(self) -> None:
        try:
            self._log.reopen()
        except (OSError, UsageLogUnavailable) as error:
            if self.refusal is None:
                self._refuse(_said(error), [])
            else:
                self._try_later()
        except Exception as error:  # noqa: BLE001 - as above
            self._break(error)
        else:
            self._retry_s = RETRY_S_MIN
            if self.refusal is not None:
                _events.warning("usage_log_available_again")
                self.refusal = None
                self._on_change(None)

    def _break(self, error: Exception) -> None:
        if not self.broken.done():
            self.broken.set_exception(error)


def _said(error: OSError | UsageLogUnavailable) -> str:
    return error.message if isinstance(error, UsageLogUnavailable) else f"cannot write the usage log: {error}"
