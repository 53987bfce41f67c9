"""Real model processes for tests, on files that are prepared once and kept with pytest's cache."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

TEXT = "smollm2-135m"
EMBEDDING = "all-minilm-l6-v2"


class ModelProcess:
    """A model process that serves."""

    def __init__(self, model: str, home: Path, models: Path, *options: str) -> None:
        command = [sys.executable, "-m", "entrepot.compose.model_server", "--model", model, "--home", str(home)]
        self.model = model
        self.process = subprocess.Popen(
            [*command, "--models", str(models), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.ready = self._ready()
        self.url = f"http://127.0.0.1:{self.ready['port']}"
        self._client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="unused", max_retries=0, timeout=60)

    def _ready(self) -> dict[str, object]:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], 200)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.process.kill()
            raise AssertionError(f"{self.model} did not start: {self.process.communicate()[1]}")
        ready: dict[str, object] = json.loads(line)
        return ready

    def openai(self) -> openai.OpenAI:
        """OpenAI's own client of this process, closed with it."""
        return self._client

    def post(self, path: str, body: object, request_id: str | None = None) -> httpx.Response:
        """The answer to one request."""
        headers = {"x-request-id": request_id} if request_id else {}
        return httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=60)

    def usage(self, request_id: str) -> dict[str, object]:
        """What a request took, as the process tells it."""
        answer = httpx.get(f"{self.url}/v1/usage/{request_id}", timeout=60)
        assert answer.status_code == 200, answer.text
        usage: dict[str, object] = answer.json()
        return usage

    def ended_usage(self, request_id: str) -> Any:
        """What a request took, once it no longer runs; a departure is noticed within a token or a batch."""
        usage: Any = {"state": "running"}
        deadline = time.monotonic() + 60
        while usage["state"] == "running":
            assert time.monotonic() < deadline, f"{request_id} still runs"
            usage = self.usage(request_id)
        return usage

    def left(self, path: str, body: object, request_id: str, counted: str) -> Any:
        """What a request took whose client left as soon as the process told of some work for it.

        counted: the member of the usage that tells of it.
        """
        content = json.dumps(body)
        lines = (
            f"POST {path} HTTP/1.1",
            "Host: model",
            f"x-request-id: {request_id}",
            f"Content-Length: {len(content)}",
        )
        deadline = time.monotonic() + 60
        port = int(self.url.rpartition(":")[2])
        with httpx.Client(timeout=60) as asking, socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            client.sendall("\r\n".join([*lines, "", content]).encode())
            while not self._told_so_far(asking, request_id).get(counted):
                assert time.monotonic() < deadline, f"nothing was done for {request_id}"
        return self.ended_usage(request_id)

    def _told_so_far(self, asking: httpx.Client, request_id: str) -> Any:
        answer = asking.get(f"{self.url}/v1/usage/{request_id}")
        return answer.json()["usage"] if answer.status_code == 200 else {}

    def cpu_s(self) -> float:
        """Processor seconds it took so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Its exit status after the signal."""
        self._client.close()
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            self.process.communicate(timeout=45)
        finally:
            self.process.kill()
        return self.process.returncode


@contextmanager
def serving(model: str, home: Path, models: Path, *options: str) -> Iterator[ModelProcess]:
    """A model process for the time of a test."""
    process = ModelProcess(model, home, models, *options)
    try:
        yield process
    finally:
        process.end()


def kept_models(config: pytest.Config) -> Path:
    """Where prepared model files stay from one run to the next."""
    assert config.cache is not None
    return config.cache.mkdir("entrepot-models")
