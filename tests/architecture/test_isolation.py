"""The guards of tests/conftest.py guard."""

import asyncio
import os
import pwd
import socket
from pathlib import Path

import pytest


def test_home_is_not_the_developers() -> None:
    assert Path.home() != Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert list(Path.home().glob(".*rc")) == []


@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("2001:db8::1", 9)])
def test_connecting_beyond_loopback_is_refused(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as outward, pytest.raises(RuntimeError, match="tests stay on loopback"):
        outward.connect(address)


def test_looking_up_a_name_is_refused() -> None:
    with pytest.raises(RuntimeError, match="tests stay on loopback"):
        socket.getaddrinfo("example.org", 443)


def test_offering_a_port_to_everybody_is_refused() -> None:
    with socket.socket() as listener, pytest.raises(RuntimeError, match="tests stay on loopback"):
        listener.bind(("0.0.0.0", 0))


def test_asyncio_is_guarded_too() -> None:
    async def reach_out() -> None:
        await asyncio.open_connection("192.0.2.1", 9)

    with pytest.raises(RuntimeError, match="tests stay on loopback"):
        asyncio.run(reach_out())


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"x")
            assert accepted.recv(1) == b"x"
