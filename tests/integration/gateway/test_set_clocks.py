"""A machine whose clock is set while gateways serve: nothing stands still until a time that was comes again."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.log_records import UsageRecorded
from entrepot.core.periods import DAY, HOUR, SECOND, Instant
from entrepot.core.tenancy import Queueing
from tests.support.gateway import deployment, eventually, target
from tests.support.gateway_processes import Installation, said
from tests.support.requests import ask, chat
from tests.support.tree import ROOT

PROGRAM = str(ROOT / "tests" / "support" / "set_clock.py")
OUTGROWN = '{"outgrown":true}\n'


def limit(name: str, units: int) -> ServedLimit:
    return ServedLimit(Limit(name, "requests", "window", units, 10 * SECOND), "requests_per_minute", "the deployment")


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """The file that says how far the clock is ahead."""
    file = tmp_path / "clock"
    set_to(file, 0)
    return file


def set_to(file: Path, ahead: Instant) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(str(ahead))
    fresh.replace(file)


def test_limits_and_queues_go_on_when_a_clock_that_was_ahead_is_set_right(
    installation: Installation, clock: Path
) -> None:
    to = target(installation.base_url)
    installation.publish(
        deployment("limited", to, limits=(limit("one", 2),)),
        deployment("queued", to, limits=(limit("other", 1),), queue=Queueing(60, 100)),
    )
    gateway = installation.start_gateway((PROGRAM, "gateway"), CLOCK_FILE=str(clock))
    assert gateway.stdout is not None
    assert ask(installation, chat("hi", model="limited")).status == 200
    set_to(clock, DAY)
    eventually(lambda: ask(installation, chat("hi", model="limited")).status == 429)
    with ThreadPoolExecutor() as clients:
        waiting = [clients.submit(lambda: ask(installation, chat("hi", model="queued"))) for _ in range(3)]
        eventually(lambda: sum(one.done() for one in waiting) == 2)  # The last one waits, at the time that is ahead.
        set_to(clock, 0)
        assert gateway.stdout.readline() == OUTGROWN
        eventually(lambda: ask(installation, chat("hi", model="limited")).status == 200)
        replies = [one.result() for one in waiting]
    assert [reply.status for reply in replies] == [200, 200, 200]
    booked = [record.event.id for record in installation.records() if isinstance(record, UsageRecorded)]
    assert {reply.headers["x-request-id"] for reply in replies} <= set(booked)
    assert len(booked) == len(set(booked))


def test_counters_that_several_gateways_draw_from_begin_anew_with_the_time_as_it_is(
    installation: Installation, clock: Path
) -> None:
    """What gateways tell the next ones they were told at a time that is still to come."""

    def start_counters() -> subprocess.Popen[str]:
        home = str(installation.settings.home)
        counting = installation.start([sys.executable, PROGRAM, "counters", "--home", home], CLOCK_FILE=str(clock))
        said(counting)
        return counting

    installation.publish(deployment("limited", target(installation.base_url), limits=(limit("one", 2),)))
    set_to(clock, HOUR)
    counting = start_counters()
    installation.start_gateway(ENTREPOT_COUNTERS="machine")
    assert ask(installation, chat("hi", model="limited")).status == 200
    eventually(lambda: ask(installation, chat("hi", model="limited")).status == 429)
    set_to(clock, 0)
    assert counting.wait(60) == 0
    start_counters()
    eventually(lambda: ask(installation, chat("hi", model="limited")).status == 200)
