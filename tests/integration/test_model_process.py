"""Model processes as processes: what outlives kill -9, how they end, and what they check when they start."""

import contextlib
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.alive import is_alive
from tests.support.model_process import EMBEDDING, TEXT, ModelProcess, kept_models, serving
from tests.support.served import home_with_models

LONG = {
    "model": TEXT,
    "messages": [{"role": "user", "content": "Tell a story."}],
    "ignore_eos": True,
    "stream": True,
    "max_tokens": 1500,
}


def test_what_was_served_outlives_kill_9(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Given a finished request and a running one, when the process is killed, then the next one tells of both."""
    models = kept_models(request.config)
    with serving(TEXT, tmp_path, models) as first:
        done = first.post("/v1/chat/completions", {**LONG, "stream": False, "max_tokens": 3}, "done").json()
        with httpx.stream(
            "POST", f"{first.url}/v1/chat/completions", json=LONG, headers={"x-request-id": "cut"}, timeout=60
        ) as answer:
            deltas = (line for line in answer.iter_lines() if '"content"' in line)
            handed_on = sum('"content":""' not in next(deltas) for _ in range(40))
            assert first.end(signal.SIGKILL) == -signal.SIGKILL
            with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
                for _ in deltas:  # What was on its way when it was killed.
                    handed_on += 1
    with serving(TEXT, tmp_path, models) as second:
        assert second.usage("done") == {"id": "done", "state": "finished", "usage": done["usage"]}
        cut = second.usage("cut")
        assert cut["state"] == "cancelled"
        usage = cut["usage"]
        assert isinstance(usage, dict)
        assert usage["prompt_tokens"] == done["usage"]["prompt_tokens"]
        assert 39 <= handed_on <= usage["completion_tokens"] <= handed_on + 20
        assert httpx.get(f"{second.url}/v1/usage/never").status_code == 404


def test_sigterm_finishes_open_answers(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Given an answer that fills a context of 96 tokens, when the process is told to end, then it is finished first."""
    with ThreadPoolExecutor(1) as pool:
        process = ModelProcess(TEXT, tmp_path, kept_models(request.config), "--context", "96", "--slots", "1")
        body = {name: value for name, value in LONG.items() if name not in {"stream", "max_tokens"}}
        asked = pool.submit(process.post, "/v1/chat/completions", body, "draining")
        while httpx.get(f"{process.url}/v1/usage/draining").status_code == 404:
            pass
        assert process.end() == 0
        assert asked.result().json()["usage"]["total_tokens"] == 96


def test_an_answer_longer_than_the_drain_is_cut_and_kept(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    models = kept_models(request.config)
    process = ModelProcess(TEXT, tmp_path, models, "--drain", "1", "--slots", "1")
    with httpx.stream(
        "POST", f"{process.url}/v1/chat/completions", json=LONG, headers={"x-request-id": "cut"}, timeout=60
    ) as answer:
        deltas = (line for line in answer.iter_lines() if '"content"' in line)
        for _ in range(5):
            next(deltas)
        assert process.end() == 0
    with serving(TEXT, tmp_path, models, "--slots", "1") as next_one:
        usage = next_one.usage("cut")
    assert usage["state"] == "cancelled"
    assert isinstance(usage["usage"], dict)
    assert 4 <= usage["usage"]["completion_tokens"] < 1500


def test_it_cannot_be_started_twice_on_one_home(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    models = kept_models(request.config)
    with serving(EMBEDDING, tmp_path, models), pytest.raises(AssertionError, match="another process serves this model"):
        ModelProcess(EMBEDDING, tmp_path, models)


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """Given a process whose parent is killed, then it ends by itself."""
    command = [sys.executable, "-m", "entrepot.compose.model_server", "--model", EMBEDDING, "--home", str(tmp_path)]
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({command!r})"], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent.stdout as out:
        pid = int(out.readline().partition('"pid":')[2].rstrip("}\n"))
        parent.kill()
        parent.wait()
        out.read()  # Ends when the last process that holds it does.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and is_alive(pid):
        time.sleep(0.05)
    assert not is_alive(pid)


def test_a_damaged_model_file_is_prepared_again(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Given prepared files of which one was changed, when the process starts, then it is made as it was."""
    home = home_with_models(tmp_path, request.config)
    vocabulary = home / "models" / f"{TEXT}.vocabulary.json"
    before = vocabulary.read_bytes()
    vocabulary.write_bytes(before.replace(b"harbour", b"harbor "))
    with serving(TEXT, home, home / "models"):
        assert vocabulary.read_bytes() == before
