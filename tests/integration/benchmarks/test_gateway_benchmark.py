"""The gateway's benchmark on a small scale: its tools compile without a warning, and a short run brings figures."""

import json
import os
import shutil
from pathlib import Path

import pytest

from benchmarks import run
from benchmarks.gateway.load import Load, MockUpstream, begin, chat_body, collect, send, start_mock
from benchmarks.gateway.native_tools import FLAGS, compiled
from benchmarks.gateway.processes import Bench, Children


@pytest.mark.parametrize("name", ["mock_upstream", "load_client"])
def test_tools_compile_with_warnings_as_errors(name: str, tmp_path: Path) -> None:
    assert "-Werror" in FLAGS
    assert compiled(name, tmp_path).stat().st_size > 0


@pytest.fixture
def children(tmp_path: Path) -> Children:
    core = min(os.sched_getaffinity(0))
    return Children(Bench(core, core, tmp_path))


@pytest.fixture
def mock(children: Children) -> MockUpstream:
    return start_mock(children)


def test_the_client_and_the_mock_agree_on_every_request_and_event(children: Children, mock: MockUpstream) -> None:
    try:
        mock.tell(events=10, pace_us=1000)
        result = send(children.bench, Load(4, 0.1, 0.3, events=10), mock.port, "any", [mock.child.pid])
        state = mock.tell()
    finally:
        children.stop_all()
    assert result.answered == state.requests == state.streams > 0
    assert state.events_sent == 10 * state.streams
    assert (result.failed, result.cut_short, result.unfinished) == (0, 0, 0)
    assert result.processes[str(mock.child.pid)].cpu_us > 0


def test_the_client_tells_what_went_wrong(children: Children, mock: MockUpstream) -> None:
    """Given streams of 5 events where 10 are expected, every answer counts as cut short."""
    try:
        mock.tell(events=5, pace_us=1000)
        result = send(children.bench, Load(2, 0.0, 0.2, events=10), mock.port, "any", [])
        nobody = send(children.bench, Load(1, 0.0, 0.1, rate=10), 1, "any", [])
    finally:
        children.stop_all()
    assert result.cut_short == result.answered > 0
    assert nobody.answered == 0
    assert nobody.failed > 0


def test_the_client_counts_lost_events_and_stalled_streams(children: Children, mock: MockUpstream) -> None:
    """Given events 50 ms apart, every stream has stalled for a client that allows 20 ms, and none for one with 1 s."""
    try:
        mock.tell(events=20, pace_us=50_000)
        impatient, patient = (
            send(children.bench, Load(4, 0.0, 0.3, events=20, stall_s=limit_s), mock.port, "any", [])
            for limit_s in (0.02, 1.0)
        )
    finally:
        children.stop_all()
    assert impatient.stalled_streams == impatient.answered == 4
    assert (patient.stalled_streams, patient.lost_events) == (0, 0)


def test_the_client_leaves_when_it_was_told_to_and_keeps_a_ledger(
    children: Children, mock: MockUpstream, tmp_path: Path
) -> None:
    """Given streams that last so long that none is over before its client looks, however late that is."""
    ledger = tmp_path / "ledger"
    options = ("--abort-after=3", "--requests-per-connection=1", f"--ledger={ledger}")
    try:
        mock.tell(events=10_000, pace_us=5000)
        result = send(children.bench, Load(2, 0.0, 0.3, events=10_000, more=options), mock.port, "any", [])
    finally:
        children.stop_all()
    assert (result.answered, result.failed) == (0, 0)
    assert ledger.read_text().splitlines() == ["req_0123456789abcdef aborted"] * result.aborted
    assert result.aborted > 2


def test_the_mock_fails_as_it_is_asked(children: Children, mock: MockUpstream) -> None:
    def failures(fault: str, events: int) -> dict[str, int]:
        load = Load(1, 0.0, 0.1, rate=50, events=events)
        body = chat_body(load, extra={"mock": fault})
        return collect(begin(children.bench, load, mock.port, "any", [], body=body), load).failed_by_status

    try:
        mock.tell(events=4, pace_us=0)
        assert failures("error", 0).keys() == {"500"}
        assert failures("cut", 4).keys() == {"200"}  # The head said so, and then the stream broke off.
    finally:
        children.stop_all()


def test_a_short_run_without_nginx_and_without_peers_brings_figures_and_no_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a machine that lacks all that can be lacking, what is there is measured and the rest is noted."""
    found_by = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if "nginx" in name or "haproxy" in name else found_by(name))
    monkeypatch.setenv("BENCH_PEERS", str(tmp_path / "nothing"))
    out = tmp_path / "result.json"
    targets = "direct,nginx,haproxy,envoy,bare,entrepot,entrepot-memory,litellm"
    phases = "requests,events,tls-requests"
    asked = ["--targets", targets, "--phases", phases, "--rounds", "1", "--window", "0.5", "--json", str(out)]
    assert run.main(asked) == 0
    record = json.loads(out.read_text())
    found = {(row["phase"], row["target"], row["what"]): row["value"]["median"] for row in record["summary"]}
    assert found["requests", "bare", "CPU per request, µs"] > found["requests", "direct", "CPU per request, µs"] > 0
    assert found["events", "bare", "CPU per event, µs"] > 0
    assert found["requests", "entrepot", "… gateway, µs"] > 0 < found["requests", "entrepot", "… log, µs"]
    assert [figure["faults"] for figure in record["figures"]] == [[]] * 7
    metered = [figure for figure in record["figures"] if figure["target"].startswith("entrepot")]
    assert [figure["metered"] for figure in metered] == [figure["result"]["answered"] for figure in metered]
    assert {goal["met"] for goal in record["goals"]} == {None}
    notes = "\n".join(record["notes"])
    assert all(f"{name} is left out" in notes for name in ("nginx", "haproxy", "envoy", "litellm"))
    assert "CPU per request" in out.with_suffix(".md").read_text()
