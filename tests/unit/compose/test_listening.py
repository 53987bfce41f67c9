"""Addresses are taken before anything is started, and one that is taken already is said with its setting."""

import socket

import pytest

from entrepot.compose.listening import take_address
from entrepot.compose.settings import Settings, load_settings
from entrepot.core.errors import BadInput


def settings_at(port: int) -> Settings:
    return load_settings({"ENTREPOT_GATEWAY_ADDRESS": f"127.0.0.1:{port}"})


def test_a_free_port_is_chosen_and_kept() -> None:
    address, kept = take_address(settings_at(0), "gateway_address")
    with kept:
        assert address.port > 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        with socket.socket() as child:
            child.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            child.bind(address)
            child.listen()
            socket.create_connection(address).close()


@pytest.mark.parametrize("shares", [False, True])
def test_an_address_in_use_names_the_setting(shares: bool) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(BadInput) as caught:
            take_address(settings_at(port), "gateway_address")
    assert caught.value.message == (
        f"127.0.0.1:{port} (gateway_address, from ENTREPOT_GATEWAY_ADDRESS) is in use by another program; "
        "end that one or set ENTREPOT_GATEWAY_ADDRESS to a free address"
    )
