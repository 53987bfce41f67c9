"""Who runs on a data directory, and the token that opens its console."""

import os
import stat
from pathlib import Path

import pytest

from entrepot.compose.local_models import LocalModel, addresses, base_urls, read_models, write_models
from entrepot.compose.running import Running, forget_running, hold_role, read_running, write_running
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.tokens import admin_token
from entrepot.core.errors import StartFailed


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
    assert read_running(settings) is None
    settings.run_directory.mkdir()
    running = Running(os.getpid(), "http://127.0.0.1:1", "http://127.0.0.1:2", {"log": 5})
    write_running(settings, running)
    assert read_running(settings) == running
    forget_running(settings)
    assert read_running(settings) is None


def test_a_supervisor_that_was_killed_does_not_run(settings: Settings) -> None:
    settings.run_directory.mkdir()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    write_running(settings, Running(child, "", "", {}))
    assert read_running(settings) is None


def test_the_token_is_made_once_and_only_its_owner_reads_it(settings: Settings) -> None:
    token = admin_token(settings)
    assert len(token) >= 40
    assert admin_token(settings) == token
    assert stat.S_IMODE((settings.home / "admin_token").stat().st_mode) == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["admin_token"]
    told = load_settings({"ENTREPOT_ADMIN_TOKEN": "of-my-own"}, {"home": str(settings.home)})
    assert admin_token(told) == "of-my-own"


def test_models_are_found_where_they_listen(settings: Settings) -> None:
    assert read_models(settings) == []
    ready = LocalModel("local", "small", "llama_cpp", "smollm2-135m", "http://127.0.0.1:4000/v1")
    starting = LocalModel("local", "other", "llama_cpp", "other")
    write_models(settings, [starting, ready])
    assert addresses(settings) == {("local", "small"): "http://127.0.0.1:4000/v1"}
    assert base_urls(settings, "local") == ["http://127.0.0.1:4000/v1"]
    assert base_urls(settings, "elsewhere") == []
