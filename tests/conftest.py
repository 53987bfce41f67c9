"""What every test runs under: a home of its own, no settings from outside, and no network beyond loopback.

Warnings are errors too; that stands in pyproject.toml.
"""

import ipaddress
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import hypothesis
import pytest

import entrepot
from compiled.build import SOURCE, stale

# However slow the machine is. Where CI is set, Hypothesis's own profile for it is what this one begins from, and so
# each run there has the same examples.
hypothesis.settings.register_profile(
    "entrepot", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("entrepot")

# A zone whose offset is not a whole hour and which keeps summer time: code that reads local time by accident shows.
_ODD_ZONE = "Pacific/Chatham"

# Where a Python socket names another machine: the event, and where its arguments hold the address.
_ADDRESSED = {"socket.connect": 1, "socket.bind": 1, "socket.sendto": 1, "socket.sendmsg": 1}
_LOOKED_UP = {"socket.getaddrinfo", "socket.gethostbyname"}
_LOCAL_NAMES = {None, "", "localhost", b"localhost"}


class BeyondLoopbackError(RuntimeError):
    """A test tried to reach or to offer something outside this machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Nothing; before any test is collected, the process has a home of its own and a guard on its sockets."""
    if Path(entrepot.__file__).is_relative_to(SOURCE) and stale():  # They would be tested in place of their sources.
        pytest.exit(f"compiled before {', '.join(stale())} changed: make test, or compiled/build.py [--clean]", 1)
    home = tempfile.mkdtemp(prefix="entrepot-test-home-")
    config.add_cleanup(lambda: shutil.rmtree(home, ignore_errors=True))
    for name in list(os.environ):
        if name.startswith(("ENTREPOT_", "XDG_", "OPENAI_", "AZURE_")) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ.update(HOME=home, TZ=_ODD_ZONE, HF_HUB_OFFLINE="1")
    time.tzset()
    sys.addaudithook(_refuse_beyond_loopback)


def _refuse_beyond_loopback(event: str, arguments: tuple[object, ...]) -> None:
    if event in _ADDRESSED:
        address = arguments[_ADDRESSED[event]]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise BeyondLoopbackError(f"{event} to {address!r}: tests stay on loopback")
    elif event in _LOOKED_UP and arguments[0] not in _LOCAL_NAMES and not _is_loopback(arguments[0]):
        raise BeyondLoopbackError(f"{event} of {arguments[0]!r}: tests stay on loopback")


def _is_loopback(host: object) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False
