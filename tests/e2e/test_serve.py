"""`entrepot serve --demo`, the real thing: every process on loopback, crashed on purpose, stopped in order."""

import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai.types.chat import ChatCompletionUserMessageParam

from tests.support.alive import is_alive
from tests.support.served import Served, environment_of, home_with_models, until

QUESTION: ChatCompletionUserMessageParam = {"role": "user", "content": "What is the capital of France?"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    return home_with_models(tmp_path_factory.mktemp("serve") / "home", request.config)


@pytest.fixture(scope="module")
def started() -> Iterator[list[Served]]:
    """All that tests have started, one after the other."""
    started: list[Served] = []
    yield started
    for each in started:
        each.stop()


@pytest.fixture
def served(home: Path, started: list[Served]) -> Served:
    """The one that runs; begun anew where a test has ended the last one, whichever test of this file came before."""
    if not started or started[-1].process.poll() is not None:
        started.append(Served(home, "--demo"))
    return started[-1]


def ask(served: Served, deployment: str = "", key: str = "") -> str:
    """What the first demo customer is answered."""
    customer = served.quickstart["customers"][0]
    with openai.OpenAI(
        base_url=f"{served.quickstart['gateway']}/v1", api_key=key or customer["key"], max_retries=0, timeout=60
    ) as client:
        ask_as_customer = client.chat.completions.create
        model = deployment or customer["deployments"][0]
        answer = ask_as_customer(model=model, messages=[QUESTION], max_tokens=12, temperature=0)
    return answer.choices[0].message.content or ""


def answers(served: Served) -> bool:
    """Whether a chat request is answered now."""
    try:
        return bool(ask(served))
    except openai.APIError:
        return False


def kill_and_await(served: Served, name: str) -> None:
    """Kills a child without a chance to say so, and waits until another one has its place."""
    killed = served.running[name]
    os.kill(killed, signal.SIGKILL)
    until(lambda: served.running.get(name) not in (None, killed), f"{name} runs again")


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def test_the_start_ends_with_what_to_try_and_how_long_it_took(served: Served) -> None:
    assert served.lines[-1].startswith("entrepot ready in ")
    assert served.lines[-1].endswith(" s")
    said = "\n".join(served.lines)
    for word in ("curl", "OpenAI(", "AzureOpenAI(", served.quickstart["customers"][0]["key"]):
        assert word in said


def test_what_it_prints_can_be_pasted(served: Served) -> None:
    blocks = [block for block in "\n".join(served.lines).split("\n\n") if block.startswith("  from openai")]
    assert len(blocks) == 2
    for block in blocks:
        said = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(block)], capture_output=True, text=True, timeout=90
        )
        assert "Paris" in said.stdout, said.stderr
    assert f"usage list --home {shlex.quote(str(served.home))}" in served.lines[-2]


def test_the_quick_start_file_says_all_that_is_needed(served: Served) -> None:
    quickstart = served.quickstart
    assert sorted(quickstart) == ["admin_token", "console", "customers", "gateway"]
    assert status_of(f"{quickstart['gateway']}/healthz") == 200
    assert status_of(f"{quickstart['console']}/healthz") == 200
    assert [sorted(customer) for customer in quickstart["customers"]] == [["deployments", "key", "name"]] * 3
    assert stat.S_IMODE((served.home / "quickstart.json").stat().st_mode) == 0o600


def test_a_real_request_is_answered_and_metered(served: Served) -> None:
    before = len(served.command("usage", "list", "--limit", "1000")["usage"])
    assert "Paris" in ask(served)
    until(lambda: len(served.command("usage", "list", "--limit", "1000")["usage"]) > before, "it is booked")
    assert served.command("verify")["equal"]


def test_keys_and_worlds_are_taken_up_without_a_restart(served: Served, tmp_path: Path) -> None:
    made = served.command("key", "create", "--project", "reading-room")

    def opens() -> bool:
        try:
            return bool(ask(served, "chat", made["key"]))
        except openai.AuthenticationError:
            return False

    until(opens, "the new key is good")
    served.command("key", "revoke", made["id"])
    until(lambda: not opens(), "the key is good for nothing")
    world = tmp_path / "world.yaml"
    text = Path("examples/demo/world.yaml").read_text()
    world.write_text(text + "  - {id: second-tutor, project: campus, model: smollm2-135m}\n")
    assert served.command("apply", str(world))["counts"] == {"add": 1, "change": 0, "remove": 0}

    def is_served() -> bool:
        try:
            return bool(ask(served, "second-tutor"))
        except openai.NotFoundError:
            return False

    until(is_served, "the new deployment answers")


def test_each_process_that_is_killed_comes_back(served: Served) -> None:
    pids = served.running
    assert {"control", "gateway 1", "log", "model all-minilm-l6-v2", "model smollm2-135m", "worker"} <= pids.keys()
    for name in sorted(pids):
        kill_and_await(served, name)
    until(lambda: answers(served), "requests are answered again")
    until(lambda: status_of(f"{served.quickstart['console']}/healthz") == 200, "the console is there again")
    before = len(served.command("usage", "list", "--limit", "1000")["usage"])
    ask(served)
    until(lambda: len(served.command("usage", "list", "--limit", "1000")["usage"]) > before, "usage is booked again")
    assert served.command("verify")["equal"]


def test_a_second_one_on_the_same_directory_is_refused(served: Served) -> None:
    second = serve(environment_of(served.home))
    assert (second.returncode, second.stdout) == (1, "")
    assert f"log runs already on {served.home} (process {served.process.pid})" in second.stderr
    assert second.stderr.count("\n") == 1


def test_ctrl_c_stops_everything_and_the_next_start_finds_its_keys(served: Served) -> None:
    keys = [customer["key"] for customer in served.quickstart["customers"]]
    pids = [served.process.pid, *served.running.values()]
    status, said = served.stop()
    assert status == 0
    assert "Traceback" not in said
    assert [pid for pid in pids if is_alive(pid)] == []
    assert not (served.home / "run" / "serve.json").exists()
    again = Served(served.home, "--demo")
    try:
        assert [customer["key"] for customer in again.quickstart["customers"]] == keys
        assert answers(again)
    finally:
        status, _ = again.stop(signal.SIGTERM)
    assert status == 0


def test_nothing_outlives_a_supervisor_that_is_killed(served: Served) -> None:
    pids = list(served.running.values())
    assert pids
    assert all(map(is_alive, pids))
    served.stop(signal.SIGKILL)
    until(lambda: not any(map(is_alive, pids)), "all children are gone")


def test_a_variable_that_is_no_setting_and_an_address_in_use_are_a_line_each(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        wrong = {"ENTREPOT_CONSOLE_ADDRESS": taken, "ENTREPOT_GATEWAY_WORKER": "4"}
        done = serve(environment_of(tmp_path) | wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "entrepot: ENTREPOT_GATEWAY_WORKER is not a setting; did you mean ENTREPOT_GATEWAY_WORKERS?\n"
        f"entrepot: {taken} (console_address, from ENTREPOT_CONSOLE_ADDRESS) is in use by another program; "
        "end that one or set ENTREPOT_CONSOLE_ADDRESS to a free address\n"
    )


def test_a_child_that_cannot_start_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "books.db").write_bytes(b"no database at all, and longer than a header would be" * 20)
    done = serve(environment_of(tmp_path), "--only", "worker")
    assert done.returncode == 1
    assert "worker ended (status 1) while starting: " in done.stderr
    assert "Traceback" not in done.stderr


def serve(environment: dict[str, str], *options: str) -> "subprocess.CompletedProcess[str]":
    """A serve that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "entrepot", "serve", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
