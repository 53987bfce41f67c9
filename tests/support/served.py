"""A whole `entrepot serve` for tests: started, asked what runs, stopped, on a data directory of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.model_files import prepare_smollm2
from tests.support.model_process import kept_models

START_S_MAX = 90
_ANY_PORT = "127.0.0.1:0"


class Served:
    """A running `entrepot serve`. lines: what it printed until it was ready."""

    def __init__(self, home: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-m", "entrepot", "serve", *options],
            env=environment_of(home) | (environment or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # A Ctrl-C at the tests is not one at what they started.
        )
        self.lines = self._until_ready()

    def _until_ready(self) -> list[str]:
        assert self.process.stdout is not None
        lines: list[str] = []
        too_long = threading.Timer(START_S_MAX, self.process.kill)
        too_long.start()
        try:
            for line in self.process.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith("entrepot ready in "):
                    return lines
        finally:
            too_long.cancel()
        raise AssertionError(f"it did not start: {lines} {self.process.communicate()[1]}")

    @property
    def running(self) -> dict[str, int]:
        """{name: process id} of the children."""
        children: dict[str, int] = self.told("run/serve.json")["children"]
        return children

    @property
    def quickstart(self) -> Any:
        """What quickstart.json says."""
        return self.told("quickstart.json")

    def told(self, name: str) -> Any:
        """The content of a JSON file of the data directory."""
        return json.loads((self.home / name).read_text())

    def command(self, *words: str) -> Any:
        """The document that a command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "entrepot", *words, "--json"],
            env=environment_of(self.home),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """The exit status after a signal, and what was said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


def environment_of(home: Path) -> dict[str, str]:
    """The environment of programs on a data directory, listening on ports that the system chooses."""
    return {
        **os.environ,
        "ENTREPOT_HOME": str(home),
        "ENTREPOT_GATEWAY_ADDRESS": _ANY_PORT,
        "ENTREPOT_CONSOLE_ADDRESS": _ANY_PORT,
    }


def home_with_models(folder: Path, config: pytest.Config) -> Path:
    """A data directory whose models are prepared, which takes its time only once for all tests."""
    models = kept_models(config)
    files = prepare_smollm2(models, lambda _: None)
    (folder / "models").mkdir(parents=True)
    for path in (files.model, files.vocabulary):
        shutil.copy(path, folder / "models")
    return folder


def until(condition: Callable[[], bool], what: str, within_s: float = 60) -> None:
    """Waits for a condition. Fails with what was waited for."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {within_s} s in vain until {what}"
        time.sleep(0.05)
