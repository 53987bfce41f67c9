"""A gateway whose usage log's disk fails: no wrong bill, no hang, a clear error, and it goes on by itself."""

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from entrepot.compose.usage_log import open_log_reader
from entrepot.core.log_records import UsageRecorded
from tests.support.disk_faults import FAILING_LOG, full, mend, no_room, no_sync, stall
from tests.support.fed_stream import FedStream, FedUpstream
from tests.support.gateway import deployment, eventually, target
from tests.support.gateway_processes import Installation, installed, stream
from tests.support.requests import Reply, ask, chat, read_until


@pytest.fixture(scope="module")
def home() -> Iterator[Installation]:
    with installed(FAILING_LOG) as made:
        try:
            yield made
        finally:
            mend(made)


@pytest.fixture
def installation(home: Installation) -> Iterator[Installation]:
    home.begin()
    try:
        yield home
    finally:
        mend(home)


@contextmanager
def begun_stream(installation: Installation) -> Iterator[FedStream]:
    """A gateway, in the middle of a stream that goes on when it is told to."""
    with FedUpstream() as upstream:
        installation.publish(
            deployment("chat", target(installation.base_url)), deployment("fed", target(upstream.base_url, "fed"))
        )
        installation.start_gateway()
        with upstream.stream(installation, "fed") as open_stream:
            open_stream.goes_on()
            yield open_stream


def is_ready(installation: Installation) -> bool:
    return ask(installation, path="/readyz").status == 200


def failures(installation: Installation) -> int:
    lines = ask(installation, path="/metrics", headers={}).body.decode().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("entrepot_log_failures_total "))


def served(installation: Installation) -> dict[str, UsageRecorded]:
    """The usage that this story left in the log, by request. Each is there once, and the log is whole."""
    recorded = [record for record in installation.records() if isinstance(record, UsageRecorded)]
    by_id = {record.event.id: record for record in recorded}
    assert len(by_id) == len(recorded)
    open_log_reader(installation.settings.home).check()
    return by_id


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="another process's limits can be set on Linux only")
@pytest.mark.parametrize("fail", [full, no_room, no_sync])
def test_a_disk_that_fails_and_comes_back(installation: Installation, fail: Callable[[Installation], None]) -> None:
    with begun_stream(installation) as open_stream:
        answered = [ask(installation, chat("hi"))]
        failed_before = failures(installation)
        fail(installation)
        broken = ask(installation, chat("hi [[chunks=3]]"))
        refused = [ask(installation, chat("hi")) for _ in range(3)]
        for reply in (broken, *refused):
            assert (reply.status, reply.error["code"]) == (503, "usage_log_unavailable")
        assert not is_ready(installation)
        for _ in range(20):
            open_stream.goes_on()  # All the while.
        mend(installation)
        eventually(lambda: is_ready(installation))
        for _ in range(20):
            open_stream.goes_on()
        assert open_stream.ends().endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    answered.append(ask(installation, chat("hi")))
    assert [reply.status for reply in answered] == [200, 200]
    usage = served(installation)
    assert usage.pop(open_stream.id).event.meters == open_stream.meters
    if id_of(broken) in usage:  # Else a record of the stream met the failing disk first, and this one was refused too.
        assert usage.pop(id_of(broken)).event.meters == {"input_tokens": 1, "output_tokens": 3}
    assert set(usage) == {id_of(reply) for reply in answered}, "what was refused never reached an upstream"
    eventually(lambda: failures(installation) > failed_before)


@pytest.mark.parametrize("fail", [full, no_room, no_sync])
def test_a_stream_that_ends_meanwhile_says_so(installation: Installation, fail: Callable[[Installation], None]) -> None:
    with begun_stream(installation) as open_stream:
        fail(installation)
        open_stream.goes_on()
        rest = open_stream.ends()
    assert b'data: {"error":{"message":"Usage cannot be recorded' in rest
    assert b"[DONE]" not in rest
    assert served(installation) == {}
    mend(installation)
    eventually(lambda: served(installation))
    [usage] = served(installation).values()
    assert usage.event.meters == open_stream.meters


def test_a_disk_that_hangs_delays_ends_and_nothing_else(installation: Installation) -> None:
    with begun_stream(installation) as open_stream:
        stall(installation)
        with stream(installation, "hi [[chunks=5]]", b"w4 ") as other:
            open_stream.goes_on()
            assert served(installation) == {}
            assert ask(installation, path="/healthz").status == 200
            mend(installation)
            assert read_until(other, b"[DONE]")
        assert b"[DONE]" in open_stream.ends()
    assert len(served(installation)) == 2


def test_a_log_that_does_not_answer_is_no_readiness(installation: Installation) -> None:
    """Whoever chooses among machines sends requests to one that can end their answers."""
    installation.start_gateway()
    assert ask(installation, chat("hi")).status == 200
    installation.log.send_signal(signal.SIGSTOP)
    try:
        with stream(installation, "hi", b"w1 ") as waiting:
            eventually(lambda: not is_ready(installation))
            assert ask(installation, path="/readyz").json()["reasons"] == ["the usage log does not answer"]
            assert ask(installation, path="/healthz").status == 200
            installation.log.send_signal(signal.SIGCONT)
            assert read_until(waiting, b"[DONE]")
        eventually(lambda: is_ready(installation))
    finally:
        installation.log.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("fail", [full, no_room, no_sync])
def test_a_gateway_told_to_stop_meanwhile_stops_and_loses_nothing(
    installation: Installation, fail: Callable[[Installation], None]
) -> None:
    gateway = installation.start_gateway()
    before = ask(installation, chat("hi"))  # That the gateway began is on the disk then, and does not meet its failing.
    fail(installation)
    broken = ask(installation, chat("hi [[chunks=7]]"))
    assert (before.status, broken.status) == (200, 503)
    gateway.send_signal(signal.SIGTERM)
    assert gateway.wait(30) == 0
    mend(installation)
    eventually(lambda: id_of(broken) in served(installation))
    usage = served(installation)
    assert set(usage) == {id_of(before), id_of(broken)}
    assert usage[id_of(broken)].event.meters == {"input_tokens": 1, "output_tokens": 7}


def id_of(reply: Reply) -> str:
    return reply.headers["x-request-id"]
