"""A data directory whose path is too long for a socket: its sockets lie in it all the same, and nowhere else.

Not in /tmp, where another user of the machine could have been there first, listened in our name and been told tokens.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.adapters.log_client import SocketEventLog
from entrepot.compose.socket_paths import short_path
from entrepot.core.log_records import InstanceBegan, UsageRecorded
from tests.support.gateway_processes import Installation
from tests.support.requests import ask, chat, read_until

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Installation]:
    home = tmp_path / ("d" * 120) / ("Ω and 'more' " * 9)
    home.mkdir(parents=True)
    installation = Installation(home, ("-m", "entrepot.compose.log_process"))
    installation.begin()
    try:
        yield installation
    finally:
        installation.end(installation.processes)


def test_everything_runs_on_a_data_directory_with_a_long_path(deep: Installation) -> None:
    deep.start_serve(ENTREPOT_GATEWAY_WORKERS="2")
    jobs = deep.start([sys.executable, "-m", "entrepot", "serve", "--only", "jobs", "--json"])
    assert jobs.stdout is not None
    assert jobs.stdout.readline(), jobs.communicate()[1]
    inside = {path.stem for path in deep.settings.run_directory.iterdir() if path.is_socket()}
    assert inside == {"log", "gateway", "counters", "jobs"}

    assert ask(deep, chat("hi")).status == 200
    assert ask(deep, path="/v1/files", method="GET").json()["data"] == []
    assert any(isinstance(record, UsageRecorded) for record in deep.records())
    with contextlib.closing(SocketEventLog(short_path(deep.settings.log_socket))) as log:
        log.append([InstanceBegan("0000beef", 1)])
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.connect(str(short_path(deep.settings.gateway_socket_file)))
        connection.sendall(GET)
        assert b"200 OK" in read_until(connection, b"\r\n\r\n")
