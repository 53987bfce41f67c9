"""A home with a log process, an upstream and gateways, each a process of its own, for stories about processes."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose.running import read_running
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.log_records import Admitted, InstanceLost, LogRecord
from entrepot.core.snapshot import ServedDeployment
from entrepot.ports.event_log import START
from tests.support.gateway import deployment, snapshot, target
from tests.support.requests import chat, connect, read_until, request_bytes
from tests.support.tree import ROOT

GATEWAY = ("-m", "entrepot.compose.gateway")


class Installation:
    """A home with its processes, for several stories after one another. port: of the gateways of this story.

    log_program: how Python is told to run the log process.
    """

    def __init__(self, home: Path, log_program: Sequence[str]) -> None:
        self.settings: Settings = load_settings({}, {"home": str(home)})
        self.environment = {**os.environ, "ENTREPOT_HOME": str(home), "UP_KEY": "sk-of-the-upstream"}
        self.processes: list[subprocess.Popen[str]] = []
        self.port = 0
        self._told = 0
        upstream = self.start([sys.executable, "-m", "tests.scripted_upstream", "--state", str(home / "served")])
        self.base_url = said(upstream)["base_url"]
        self._log_program = log_program
        self.start_log()

    def start(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        self.processes.append(process)
        return process

    def start_log(self) -> None:
        """Starts the log process, for the first time or because the last one was killed."""
        self.log = self.start([sys.executable, *self._log_program, "--home", str(self.settings.home)])
        said(self.log)

    def start_gateway(self, program: Sequence[str] = GATEWAY, **environment: str) -> subprocess.Popen[str]:
        """program: how Python is told to run it."""
        process = self.start([sys.executable, *program, "--port", str(self.port)], **environment)
        url: str = said(process)["url"]
        self.port = int(url.rpartition(":")[2])
        return process

    def start_serve(self, *before: str, **environment: str) -> subprocess.Popen[str]:
        """`entrepot serve --only gateway`, which has its gateways as children; ready. before: what runs it."""
        given = {"ENTREPOT_GATEWAY_ADDRESS": "127.0.0.1:0", **environment}
        serve = [*before, sys.executable, "-m", "entrepot", "serve", "--only", "gateway", "--json"]
        process = self.start(serve, **given)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        self.port = int(json.loads(line)["gateway"].rpartition(":")[2])
        return process

    @property
    def children(self) -> dict[str, int]:
        """{name: process id} of what `entrepot serve` runs now."""
        return {name: pid for each in read_running(self.settings) for name, pid in each.children.items()}

    def publish(self, *deployments: ServedDeployment) -> None:
        FileSnapshots(self.settings.snapshot_file).publish(snapshot(*deployments))

    def records(self) -> list[LogRecord]:
        """What this story left in the log; the loss of a gateway of another one may come late."""
        records = self.all_records()[self._told :]
        ours = {record.instance for record in records if isinstance(record, Admitted)}
        return [record for record in records if not isinstance(record, InstanceLost) or record.instance in ours]

    def all_records(self) -> list[LogRecord]:
        """What all stories so far left in the log."""
        return [record for _, record in open_log_reader(self.settings.home).read(START, 10_000)]

    def begin(self) -> None:
        """Another story, in which no gateway runs yet."""
        self.end(self.processes[2:])
        del self.processes[2:]
        self.port = 0
        self._told = len(self.all_records())
        self.publish(deployment("chat", target(self.base_url)))

    def end(self, processes: list[subprocess.Popen[str]]) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.communicate(timeout=60)


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process said when it was ready. Raises: AssertionError with its complaint if it ended instead."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    answer: dict[str, Any] = json.loads(line)
    assert answer["ready"] is True
    return answer


@contextmanager
def stream(installation: Installation, prompt: str, mark: bytes) -> Iterator[Any]:
    """A client in the middle of a stream, which it has read up to the mark."""
    with connect(installation) as client:
        client.sendall(request_bytes(chat(prompt, stream=True)))
        read_until(client, mark)
        yield client


@contextmanager
def installed(log_program: Sequence[str] = ("-m", "entrepot.compose.log_process")) -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="entrepot-") as path:
        made = Installation(Path(path), log_program)
        try:
            yield made
        finally:
            made.end(made.processes)
