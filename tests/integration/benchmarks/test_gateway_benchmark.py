"""The gateway's benchmark on a small scale: its tools compile without a warning, and a short run brings figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gateway.load import Load, MockUpstream, send, start_mock
from benchmarks.gateway.native_tools import FLAGS, compiled
from benchmarks.gateway.processes import Bench, Children
from tests.support.tree import ROOT


@pytest.mark.parametrize("name", ["mock_upstream", "load_client"])
def test_tools_compile_with_warnings_as_errors(name: str, tmp_path: Path) -> None:
    assert "-Werror" in FLAGS
    assert compiled(name, tmp_path).stat().st_size > 0


@pytest.fixture
def children(tmp_path: Path) -> Children:
    return Children(Bench(0, 0, tmp_path))


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


def test_a_short_run_brings_positive_figures_and_no_faults(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    command = [
        sys.executable,
        "benchmarks/run.py",
        "--targets",
        "direct,uvicorn,entrepot",
        "--phases",
        "requests,events",
    ]
    done = subprocess.run(
        [*command, "--rounds", "1", "--window", "0.5", "--json", str(out)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    found = {(row["phase"], row["target"], row["what"]): row["value"]["median"] for row in record["summary"]}
    assert found["requests", "uvicorn", "CPU per request, µs"] > found["requests", "direct", "CPU per request, µs"] > 0
    assert found["events", "uvicorn", "CPU per event, µs"] > 0
    assert found["requests", "entrepot", "… gateway, µs"] > 0 < found["requests", "entrepot", "… log, µs"]
    assert [figure["faults"] for figure in record["figures"]] == [[]] * 6
    metered = [figure for figure in record["figures"] if figure["target"] == "entrepot"]
    assert [figure["metered"] for figure in metered] == [figure["result"]["answered"] for figure in metered]
    assert "CPU per request" in out.with_suffix(".md").read_text()
