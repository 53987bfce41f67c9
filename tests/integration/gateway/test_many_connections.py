"""Ten thousand clients that hold a connection open and say nothing: they cost little, and nobody else anything."""

import gc
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.gateway import eventually, running_gateway
from tests.support.requests import ask, chat
from tests.support.tree import ROOT

WANTED = 10_000
BYTES_MAX = 8_000  # Each; the kernel's own are not among them.


@contextmanager
def descriptors() -> Iterator[None]:
    """This process may hold so many connections. Skips where the system does not let it."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < WANTED + 500:
        pytest.skip(f"a process may open {most} files here (ulimit -Hn), which is too few for {WANTED} connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def resident_bytes() -> int:
    """What of this process is in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_ten_thousand_idle_connections() -> None:
    with descriptors(), running_gateway() as gateway:
        assert ask(gateway, chat("hi")).status == 200
        before = resident_bytes()
        command = [sys.executable, "-m", "tests.support.idle_clients", str(gateway.port), str(WANTED)]
        clients = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            assert clients.stdout is not None
            assert clients.stdout.readline() == "open\n"
            eventually(lambda: len(gateway.api.connections) == WANTED)
            each = (resident_bytes() - before) // WANTED
            print(f"{WANTED} idle connections, {each} bytes of memory each")
            assert each < BYTES_MAX
            assert ask(gateway, chat("hi [[chunks=50]]", stream=True)).events()[-1] == "[DONE]"

            gateway.later(gateway.limits.head_s - 1)
            assert len(gateway.api.connections) >= WANTED
            gateway.later(gateway.limits.idle_s + 1)
            assert clients.stdout.readline() == "closed\n"
            eventually(lambda: not gateway.api.connections)
            assert ask(gateway, chat("hi")).status == 200
        finally:
            clients.kill()
            clients.communicate()
