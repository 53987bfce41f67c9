"""What goes on in spite of a fault says each reason once, and again after it was well."""

import errno
import sqlite3
import threading
from pathlib import Path

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.compose import day_keeper
from entrepot.compose.complaints import Fault
from entrepot.compose.settings import load_settings
from entrepot.compose.worker import keep_folding
from entrepot.core.budgets import Standings
from entrepot.core.periods import HOUR, MINUTE
from tests.support.billing import MARCH, ListLog, applied, prices, version, world
from tests.support.budgets import KeptStandings
from tests.unit.test_worker_loop import Silent, SteppingClock, pauses

WORLD = world(version(prices(("m", "input_tokens", "0.15"), ("m", "output_tokens", "0.6"))))


def fail(error: Exception) -> None:
    raise error


def test_each_reason_is_said_once_until_it_is_well_again() -> None:
    said: list[str] = []
    fault = Fault(said.append, "it_failed")
    full = OSError(errno.ENOSPC, "No space left")
    for error in (full, full, OSError("odd"), None, OSError("odd")):
        if error is None:
            fault.over()
            continue
        with fault.told():
            fail(error)
    assert said == [
        "it_failed reason=No space left; it is tried again",
        "it_failed reason=OSError: odd; it is tried again",
        "it_failed reason=OSError: odd; it is tried again",
    ]


def test_what_nobody_expected_is_raised() -> None:
    with pytest.raises(ValueError, match="a mistake"), Fault(print, "it_failed").told():
        fail(ValueError("a mistake in the program"))


class FullDisk(KeptStandings):
    """Standings that cannot be kept so many times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self._failures = failures

    def publish(self, standings: Standings) -> None:
        if self._failures:
            self._failures -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        super().publish(standings)


def test_a_worker_that_cannot_publish_budgets_says_so_and_goes_on() -> None:
    log, kept, said = ListLog([applied(WORLD)]), FullDisk(3), list[str]()
    stop = pauses(60)
    clock = SteppingClock(MARCH + 2 * HOUR, MINUTE)
    keep_folding(open_books(":memory:"), log, log, Silent(), clock, lambda _: next(stop), kept, said.append)
    assert said == ["budgets_not_published reason=No space left on device; it is tried again"]
    assert kept.published
    assert kept.published[-1].through > MARCH


def test_days_are_reconciled_again_after_whatever_went_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    tries: list[int] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            return len(tries) == 4

    def broken(*_: object) -> None:
        tries.append(1)
        raise sqlite3.OperationalError("disk I/O error") if len(tries) < 3 else AssertionError("a mistake")

    monkeypatch.setattr(day_keeper, "open_log_of_process", broken)
    day_keeper.keep_reconciling(load_settings({}, {"home": str(tmp_path)}), Stop(), said.append)
    assert said == [
        "day_not_reconciled reason=OperationalError: disk I/O error; it is tried again",
        "day_not_reconciled reason=AssertionError: a mistake; it is tried again",
    ]
