"""The whole product as a customer meets it: `entrepot serve` on free ports, with a world, keys, and real local models.

Only what any user has is used: the commands, the control API, and the files they write.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from tests.support.alive import is_alive
from tests.support.tree import PROGRAMS, ROOT

T = TypeVar("T")

WORLD = ROOT / "tests" / "e2e" / "world.yaml"
WAIT_S_MAX = 60.0


class Product(msgspec.Struct, frozen=True):
    """A running product. keys: {project: its API key}; signing_key: that of its directory."""

    folder: str
    gateway: str
    console: str
    keys: dict[str, str]
    signing_key: str

    @property
    def home(self) -> Path:
        """The data directory."""
        return Path(self.folder)

    @property
    def key(self) -> str:
        """The key of the project `search`."""
        return self.keys["search"]

    @property
    def admin_token(self) -> str:
        """What opens the control API."""
        return (self.home / "admin_token").read_text().strip()

    def run(self, *words: str, status: int = 0) -> str:
        """What a command prints on stdout, or on stderr where another status than 0 is expected."""
        return run_command(self.home, *words, status=status)

    def run_json(self, *words: str) -> Any:
        """The document a command prints."""
        return json.loads(self.run(*words, "--json"))

    def control(self, path: str) -> Any:
        """What the control API answers."""
        headers = {"authorization": f"Bearer {self.admin_token}"}
        answer = httpx.get(f"{self.console}{path}", headers=headers, timeout=WAIT_S_MAX)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def note(self, request_id: str | None, usage: Any, tier: str = "default") -> None:
        """Keeps what a client was told that its request used, to be compared with the books when all is done.

        usage: OpenAI's usage object, as a client's value or as JSON.
        """
        assert request_id, "the answer had no request id"
        told = usage if isinstance(usage, dict) else usage.model_dump()
        line = json.dumps({"id": request_id, "tier": tier, "meters": meters_told(told)})
        with (self.home / "told.jsonl").open("a") as file:
            file.write(line + "\n")

    def told(self) -> list[Any]:
        """What was noted so far: id, tier and meters of requests."""
        path = self.home / "told.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def export(self) -> dict[str, Any]:
        """{id: usage record} of all booked usage, as it is exported."""
        return {record["id"]: record for record in map(json.loads, self.run("usage", "export").splitlines())}

    def booked(self, request_id: str | None) -> Any:
        """The usage event of a request, once the worker has folded it."""
        assert request_id, "the answer had no request id"
        return eventually(lambda: self._event(request_id))

    def _event(self, request_id: str) -> Any:
        events = self.control("/api/v1/usage?limit=10000")["data"]
        return next((event for event in events if event["id"] == request_id), None)

    def child(self, name: str) -> int | None:
        """The process id of a child of `entrepot serve`, or None while it does not run."""
        running = json.loads((self.home / "run" / "serve.json").read_text())
        found: int | None = running["children"].get(name)
        return found


def meters_told(usage: dict[str, Any]) -> dict[str, int]:
    """What a client can work out of a usage object, by our meters; those without a unit left out."""
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    reasoned = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    meters = {
        "input_tokens": usage["prompt_tokens"] - cached,
        "cached_input_tokens": cached,
        "output_tokens": (usage.get("completion_tokens") or 0) - reasoned,
        "reasoning_tokens": reasoned,
    }
    return {meter: quantity for meter, quantity in meters.items() if quantity}


def run_command(home: Path, *words: str, status: int = 0) -> str:
    """What `entrepot` prints about a data directory: on stdout, or on stderr where it is to fail."""
    done = subprocess.run(
        [PROGRAMS / "entrepot", *words, "--home", home], capture_output=True, text=True, timeout=WAIT_S_MAX
    )
    assert done.returncode == status, f"{words}: {done.stdout}{done.stderr}"
    return done.stderr if status else done.stdout


def eventually(look: Callable[[], T | None], within_s: float = WAIT_S_MAX) -> T:
    """What the look finds, as soon as it finds something. Raises: AssertionError."""
    end = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)
    return found


def end_process(pid: int) -> None:
    """Tells a process to end, and waits until it has; it is killed when it takes too long."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + WAIT_S_MAX
        while is_alive(pid) and time.monotonic() < end:
            time.sleep(0.05)
