"""Who runs on a data directory, and the token that opens its console."""

import errno
import os
import stat
from pathlib import Path

import pytest

from entrepot.adapters.job_store import SqliteJobStore
from entrepot.cli.main import main
from entrepot.compose.books import open_books
from entrepot.compose.control_plane import parts
from entrepot.compose.diagnosis import diagnose
from entrepot.compose.home import make_home
from entrepot.compose.local_models import LocalModel, addresses, base_urls, read_models, write_models
from entrepot.compose.running import Running, forget_running, hold_role, read_running, write_running
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.tokens import admin_token, internal_token
from entrepot.core.errors import BadInput, StartFailed


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings({}, {"home": str(tmp_path)})


def test_a_role_is_held_once(settings: Settings) -> None:
    message = rf"log runs already on .* \(process {os.getpid()}\)"
    with hold_role(settings, "log"), hold_role(settings, "gateway"):
        second = hold_role(settings, "log")
        with pytest.raises(StartFailed, match=message):
            second.__enter__()
    with hold_role(settings, "log"):
        pass


def test_what_runs_is_told_while_it_lives(settings: Settings) -> None:
    assert read_running(settings) == []
    settings.run_directory.mkdir()
    running = Running(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2", {"log": 5}, roles=["log", "worker"])
    write_running(settings, running)
    assert read_running(settings) == [running]
    forget_running(settings, running.roles)
    assert read_running(settings) == []


def test_parts_that_run_apart_do_not_hide_each_other(settings: Settings) -> None:
    settings.run_directory.mkdir()
    log, worker = (Running(os.getpid(), "", "", {role: os.getpid()}, roles=[role]) for role in ("log", "worker"))
    write_running(settings, log)
    write_running(settings, worker)
    assert read_running(settings) == [log, worker]
    shown = {part.name: (part.good, part.detail) for part in parts(settings) if part.name != "disk"}
    runs, missing = (True, f"process {os.getpid()}"), (False, "not running")
    assert shown == {"log": runs, "worker": runs, "gateway": missing, "control": missing, "jobs": missing}
    forget_running(settings, log.roles)
    assert read_running(settings) == [worker]


def test_any_free_port_is_not_called_port_0(settings: Settings) -> None:
    ours = load_settings({}, {"home": str(settings.home), "gateway_address": "127.0.0.1:0"})
    (found,) = [item.detail for item in diagnose(ours, {}) if item.name == "gateway_address"]
    assert found == "any free port of 127.0.0.1"


@pytest.mark.parametrize(
    ("asked", "told"),
    [("127.0.0.1:0", ""), ("[::1]:0", "gateway_address is 127.0.0.1:4321, here [::1]:0"), ("127.0.0.1:4321", "")],
)
def test_any_port_is_as_asked_where_a_free_one_was(settings: Settings, asked: str, told: str) -> None:
    settings.run_directory.mkdir()
    found = settings.environment() | {"ENTREPOT_GATEWAY_ADDRESS": "127.0.0.1:4321"}
    write_running(settings, Running(os.getpid(), "http://127.0.0.1:4321", "", {"gateway 1": os.getpid()}, found))
    ours = load_settings({}, {"home": str(settings.home), "gateway_address": asked})
    (serve,) = [item for item in diagnose(ours, {}) if item.name == "serve"]
    assert serve.detail.startswith(
        f"everything runs as process {os.getpid()} with 1 child, gateway at http://127.0.0.1:4321"
    )
    assert serve.detail.partition("; its settings differ from those shown here: ")[2] == told


def test_a_supervisor_that_was_killed_does_not_run(settings: Settings) -> None:
    settings.run_directory.mkdir()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    write_running(settings, Running(child, "", "", {}))
    assert read_running(settings) == []


def test_the_token_is_made_once_and_only_its_owner_reads_it(settings: Settings) -> None:
    token = admin_token(settings)
    assert len(token) >= 40
    assert admin_token(settings) == token
    assert stat.S_IMODE((settings.home / "admin_token").stat().st_mode) == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["admin_token"]
    told = load_settings({"ENTREPOT_ADMIN_TOKEN": "of-my-own"}, {"home": str(settings.home)})
    assert admin_token(told) == "of-my-own"


def test_a_token_that_is_there_needs_no_room(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started again on a full disk, too."""
    token = internal_token(settings)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    monkeypatch.setattr(os, "fsync", full)
    assert internal_token(settings) == token


def test_an_empty_token_lets_nobody_in(settings: Settings) -> None:
    """A loss of power can leave the name without the content, and whoever shows nothing would have shown the token."""
    for name, token in (("admin_token", admin_token), ("internal_token", internal_token)):
        (settings.home / name).write_text("\n")
        with pytest.raises(BadInput, match=f"{name} is empty; remove it"):
            token(settings)


def test_what_is_made_is_for_its_owner_only(tmp_path: Path) -> None:
    """A home that was there already keeps its mode; what is made in it is its owner's all the same."""
    for home, mode in ((tmp_path / "fresh", 0o700), (tmp_path / "old", 0o755)):
        if mode == 0o755:
            home.mkdir(mode=mode)
        settings = load_settings({}, {"home": str(home)})
        with hold_role(settings, "log"), open_books(settings):
            make_home(settings, settings.jobs_file)
            SqliteJobStore(settings.jobs_file).close()
            files = [settings.books_file, settings.jobs_file, *home.glob("*.db-*")]
            assert len(files) > 2
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(home.stat().st_mode) == mode


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_home_that_cannot_be_is_one_line(tmp_path: Path, below: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / below
    for words in (["key", "list"], ["apply", "examples/demo/world.yaml"], ["serve"]):
        assert main([*words, "--home", str(home)]) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"entrepot: the data directory {home} (from --home) cannot be written: ")
        assert said.endswith("set ENTREPOT_HOME to another place\n")


def test_models_are_found_where_they_listen(settings: Settings) -> None:
    assert read_models(settings) == []
    ready = LocalModel("local", "small", "llama_cpp", "smollm2-135m", "http://127.0.0.1:4000/v1")
    starting = LocalModel("local", "other", "llama_cpp", "other")
    write_models(settings, [starting, ready])
    assert addresses(settings) == {("local", "small"): "http://127.0.0.1:4000/v1"}
    assert base_urls(settings, "local") == ["http://127.0.0.1:4000/v1"]
    assert base_urls(settings, "elsewhere") == []
