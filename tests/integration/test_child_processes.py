"""Children of the supervisor: heard when ready, started again, stopped or killed, and never silent about a failure."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from entrepot.compose.processes import ChildProcess, Role, first_ready
from tests.support.alive import is_alive


class Heard(list[str]):
    """What was said about a child; anything: set with the first line."""

    def __init__(self) -> None:
        super().__init__()
        self.anything = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.append(line)
        self.anything.set()


Check = Callable[[ChildProcess, Heard], Awaitable[None]]


def with_log_process(home: Path, check: Check) -> None:
    """Runs a check on a log process that is ready, and stops it."""

    async def run() -> None:
        heard = Heard()
        child = ChildProcess(Role("log", "log", ("--home", str(home))), say=heard)
        assert await first_ready([child], 30) is None
        try:
            await check(child, heard)
        finally:
            await child.stop(60)

    asyncio.run(run())


def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    async def check(child: ChildProcess, heard: Heard) -> None:
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await heard.anything.wait()
        await asyncio.wait_for(child.ready.wait(), 30)
        assert child.pid not in (None, first)
        assert heard == ["log ended (SIGKILL, as the system sends when memory runs out); starting it again in 0.1 s"]

    with_log_process(tmp_path, check)


def test_a_child_that_was_told_to_stop_stays_stopped(tmp_path: Path) -> None:
    async def check(child: ChildProcess, heard: Heard) -> None:
        pid = child.pid
        assert pid is not None
        await child.stop(60)
        assert not is_alive(pid)
        assert (child.pid, child.starts, heard) == (None, 1, [])

    with_log_process(tmp_path, check)


def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    async def check(child: ChildProcess, heard: Heard) -> None:
        pid = child.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await child.stop(0.1)
        assert not is_alive(pid)
        assert heard == ["log took longer than 0.1 s to stop and was killed"]

    with_log_process(tmp_path, check)


def test_a_child_that_waits_to_be_started_again_is_stopped_at_once(tmp_path: Path) -> None:
    async def check(child: ChildProcess, heard: Heard) -> None:
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await heard.anything.wait()
        await child.stop(60)
        assert child.starts == 1

    with_log_process(tmp_path, check)


def test_a_child_that_never_gets_ready_says_why(tmp_path: Path) -> None:
    async def check(child: ChildProcess, heard: Heard) -> None:
        second = ChildProcess(Role("log 2", "log", ("--home", str(tmp_path))), say=heard)
        try:
            assert await first_ready([child, second], 30) is second
            assert second.failed.is_set()
            assert f"process {child.pid}" in " ".join(second.last_words)
        finally:
            await second.stop(10)

    with_log_process(tmp_path, check)


def test_waiting_for_nobody_is_over_at_once() -> None:
    assert asyncio.run(first_ready([], 1)) is None


def test_a_child_does_not_live_without_the_parent_it_was_made_for() -> None:
    done = os.spawnv(os.P_WAIT, sys.executable, ["python", "-m", "entrepot.compose.child", "1", "log"])
    assert done == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_stop_a_child(tmp_path: Path, number: signal.Signals) -> None:
    async def check(child: ChildProcess, heard: Heard) -> None:
        assert child.pid is not None
        os.kill(child.pid, number)
        await heard.anything.wait()
        assert heard[0].startswith("log ended (status 0)")

    with_log_process(tmp_path, check)
