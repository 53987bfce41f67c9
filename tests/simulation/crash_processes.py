"""The processes of a crash run: `entrepot serve` on a home that outlives it, upstreams whose accounts outlive them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PROGRAM = (sys.executable, "-m", "entrepot")


class Upstream:
    """A scripted upstream in a process of its own; started again it is where it was, and knows what it served."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Returns once it listens."""
        command = (
            sys.executable,
            "-m",
            "tests.scripted_upstream",
            "--port",
            str(self.port),
            "--state",
            str(self.state),
        )
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())["base_url"]
        self.port = int(told.removesuffix("/v1").rpartition(":")[2])

    def kill(self) -> None:
        """Returns once it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


class Product:
    """`entrepot serve`. gateway: its address, "" while it is not ready."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.home = directory / "home"
        self.gateway = ""
        self._log = directory / "serve.log"
        self._environment = {
            **os.environ,
            "ENTREPOT_HOME": str(self.home),
            "ENTREPOT_GATEWAY_ADDRESS": "127.0.0.1:0",
            "ENTREPOT_CONSOLE_ADDRESS": "127.0.0.1:0",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once it serves."""
        file = self.home / "run/serve.json"
        file.unlink(missing_ok=True)  # Of one that was killed.
        with self._log.open("a") as log:
            self._process = subprocess.Popen((*_PROGRAM, "serve"), env=self._environment, stdout=log, stderr=log)
        for _ in tries(60.0):
            assert self._process.poll() is None, self._log.read_text()
            with contextlib.suppress(FileNotFoundError):
                self.gateway = json.loads(file.read_text())["gateway"]
                return
        raise AssertionError("entrepot serve did not get ready")

    def children(self) -> dict[str, int]:
        """{name: process id} of what runs now."""
        try:
            found: dict[str, int] = json.loads((self.home / "run/serve.json").read_text())["children"]
        except FileNotFoundError:
            return {}
        return found

    def signal(self, number: signal.Signals) -> None:
        """Tells the supervisor."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """Ends every process of it at once, as when the machine is taken away from it; files in memory stay."""
        assert self._process is not None
        self.gateway = ""
        everyone = [*self.children().values()]
        self._process.kill()
        for child in everyone:
            send(child, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ends it in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(60)

    def entrepot(self, *arguments: str) -> str:
        """What a command prints. Raises: AssertionError when it fails."""
        done = subprocess.run(
            (*_PROGRAM, *arguments), env=self._environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"entrepot {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout


def send(process: int, number: signal.Signals) -> bool:
    """Whether there was such a process to be sent the signal."""
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def tries(within_s: float) -> Iterator[int]:
    """Counts while there is time, a little apart."""
    end = time.monotonic() + within_s
    number = 0
    while time.monotonic() < end:
        yield number
        number += 1
        time.sleep(0.2)
