"""A gateway that may open few files: whom it has no room for it turns away, and says so once; nobody else notices."""

import resource
import signal
import socket
import sys
from contextlib import ExitStack

from tests.support.gateway import eventually
from tests.support.gateway_processes import GATEWAY, Installation, said
from tests.support.requests import ask, chat, connect, read_until, request_bytes

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
FILES = 256
MOST = (FILES - 64) // 2
FEW_FILES = ("sh", "-c", f'ulimit -S -n 64 && ulimit -H -n {FILES} && exec "$@"', "sh")


def is_served(client: socket.socket) -> bool:
    try:
        client.sendall(GET)
        return client.recv(4096).startswith(b"HTTP/1.1 200 ")
    except (ConnectionResetError, BrokenPipeError):
        return False


def test_more_clients_than_files(installation: Installation) -> None:
    serve = installation.start_serve(*FEW_FILES)
    with ExitStack() as held:
        clients = [held.enter_context(connect(installation)) for _ in range(400)]
        served = [client for client in clients if is_served(client)]
        assert len(served) == MOST
        assert not any(is_served(client) for client in clients if client not in served)

        mark = b"w1 "  # One stream each: there is an upstream's connection left for every one of them.
        for client in served:
            client.sendall(request_bytes(chat("hi [[chunks=3 delay=1]]", stream=True)))
        for client in served:
            read_until(client, mark)
        for client in served:
            read_until(client, b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert all(is_served(client) for client in served)
    eventually(lambda: served_anew(installation))
    serve.send_signal(signal.SIGTERM)
    said = serve.communicate()[1].splitlines()
    assert [line for line in said if "connections_full" in line] == said
    assert len(said) == 1
    assert f"gateway 1 | WARNING connections_full open={MOST}; " in said[0]


def test_a_gateway_that_is_started_by_hand_may_open_as_many(installation: Installation) -> None:
    gateway = installation.start([*FEW_FILES, sys.executable, *GATEWAY, "--port", "0"])
    said(gateway)
    assert resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE) == (FILES, FILES)


def served_anew(installation: Installation) -> bool:
    try:
        return ask(installation, chat("hi")).status == 200
    except OSError:
        return False
