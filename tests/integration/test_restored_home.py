"""An installation that lost its disk while it served, and the one that is made of its backup: it serves and adds up."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.gateway_processes import said
from tests.support.product import end_process, eventually, run_command
from tests.support.requests import ask, chat, read_until
from tests.support.tree import ROOT

CHUNKS = 5
WORLD = """
operator: {{name: Test, currency: USD}}
partners: [{{id: maker, name: Maker}}]
models: [{{id: m, version: "1", partner: maker, context_tokens: 8192}}]
upstreams:
  - {{id: up, kind: openai, base_url: "{base_url}", key_env: UP_KEY, usage_lookup: true, models: [m]}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {{model: m, meter: input_tokens, per_million: "0"}}
          - {{model: m, meter: output_tokens, per_million: "1"}}
customers:
  - {{id: acme, name: Acme, since: 2024-01-01, budget: {{total: "0.000060", mode: hard}}}}
contracts: [{{customer: acme, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}}]
projects: [{{id: search, customer: acme}}]
deployments: [{{id: chat, project: search, model: m, kind: standard}}]
"""


class Serving:
    """`entrepot serve` on a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        environment = {
            "ENTREPOT_HOME": str(home),
            "ENTREPOT_GATEWAY_ADDRESS": "127.0.0.1:0",
            "ENTREPOT_CONSOLE_ADDRESS": "127.0.0.1:0",
            "UP_KEY": "sk-of-the-upstream",
        }
        self.process = start([sys.executable, "-m", "entrepot", "serve", "--json"], environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.port = int(json.loads(line)["gateway"].rpartition(":")[2])

    def ask(self, key: str, **fields: Any) -> Any:
        return ask(self, chat(f"hello [[chunks={CHUNKS}]]", max_tokens=CHUNKS, **fields), headers=bearer(key))

    def lose(self) -> None:
        """Every process of it is killed at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=60)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


@contextmanager
def upstream() -> Iterator[str]:
    """The base URL of a model server that is elsewhere: it outlives the disk."""
    with tempfile.TemporaryDirectory() as folder:
        process = start([sys.executable, "-m", "tests.scripted_upstream", "--state", f"{folder}/served"], {})
        try:
            yield said(process)["base_url"]
        finally:
            end_process(process.pid)
            process.communicate()


def used(home: Path) -> dict[str, Any]:
    """{id: usage record} of what is booked."""
    records = map(json.loads, run_command(home, "usage", "export").splitlines())
    return {record["id"]: record for record in records}


def budget_of(home: Path) -> Any:
    (budget,) = json.loads(run_command(home, "budget", "list", "--json"))["budgets"]
    return budget


def test_it_serves_with_the_same_keys_and_what_was_open_is_resolved() -> None:
    with upstream() as base_url, tempfile.TemporaryDirectory(prefix="entrepot-") as folder:
        home, backup, fresh = Path(folder, "home"), Path(folder, "backup"), Path(folder, "fresh")
        lost = Serving(home)
        try:
            (home / "world.yaml").write_text(WORLD.format(base_url=base_url))
            run_command(home, "apply", str(home / "world.yaml"))
            key = json.loads(run_command(home, "key", "create", "--project", "search", "--json"))["key"]
            eventually(lambda: lost.ask(key).status == 200)
            with socket.create_connection(("127.0.0.1", lost.port)) as client:
                body = chat("hello [[chunks=5 stall=2]]", max_tokens=CHUNKS, stream=True)
                head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {key}\r\n"
                client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                began = read_until(client, b"w2").decode()
                opened = next(line for line in began.split("\r\n") if line.lower().startswith("x-request-id: "))[14:]
                before = used(home)
                run_command(home, "backup", str(backup))
                after = lost.ask(key).headers["x-request-id"]  # This one comes too late.
                lost.lose()
        finally:
            end_process(lost.process.pid)
        run_command(fresh, "restore", str(backup))
        assert used(fresh) == before
        serving = Serving(fresh)
        try:
            resolved = eventually(lambda: used(fresh).get(opened))
            assert resolved["meters"]["output_tokens"] >= 2
            answer = eventually(lambda: reply if (reply := serving.ask(key)).status == 200 else None)
            served = answer.headers["x-request-id"]
            booked = eventually(lambda: found if served in (found := used(fresh)) else None)
            assert served not in {*before, opened, after}
            assert sorted(booked) == sorted([*before, opened, served])
            statuses = {serving.ask(key).status for _ in range(20)}  # The budget goes on where the log of then stood.
            assert statuses == {200, 429}
        finally:
            serving.process.send_signal(signal.SIGTERM)
            serving.process.communicate(timeout=60)
        spent = sum(record["meters"]["output_tokens"] for record in used(fresh).values())
        assert spent <= 60
        assert budget_of(fresh)["spent"] == f"0.{spent:06d}"
        assert json.loads(run_command(fresh, "verify", "--json"))["equal"]
        kept = json.loads(run_command(fresh, "backup", str(backup), "--json"))  # It is the log of this backup.
        assert kept["new_bytes"] > 0
        assert "an older copy was restored" in run_command(home, "backup", str(backup), status=1)
