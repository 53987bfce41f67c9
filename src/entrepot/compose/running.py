"""What runs on a data directory now: a lock for each role, and one file that says which processes there are."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

import msgspec

from entrepot.compose.home import open_lock
from entrepot.compose.settings import Settings, load_settings
from entrepot.core.errors import StartFailed


class Running(msgspec.Struct, frozen=True):
    """A running `entrepot serve`.

    children: {name: process id}, those that run at this moment. settings: {variable: value} as the gateways have them,
    but for secrets. valkey: the server that they share; "" for none.
    """

    pid: int
    gateway: str
    console: str
    children: dict[str, int]
    settings: dict[str, str] = {}
    valkey: str = ""

    def settings_beside(self, ours: Settings) -> Settings:
        """The settings that it runs with. Secrets, which it does not tell, are ours."""
        return load_settings({**ours.environment(), **self.settings}, {"home": str(ours.home)})


@contextlib.contextmanager
def hold_role(settings: Settings, role: str) -> Iterator[None]:
    """Keeps every other `entrepot serve` on this data directory from running the role.

    Raises: StartFailed, BadInput.
    """
    with open_lock(settings, role) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip()
            raise StartFailed(
                f"{role} runs already on {settings.home} (process {holder or 'unknown'}); "
                "end that one, or choose another data directory with ENTREPOT_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write_running(settings: Settings, running: Running) -> None:
    """Replaces the file; a reader finds the old or the new one."""
    path = settings.run_directory / "serve.json"
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(running))
    fresh.replace(path)


def read_running(settings: Settings) -> Running | None:
    """The `entrepot serve` that runs now, or None."""
    try:
        running = msgspec.json.decode((settings.run_directory / "serve.json").read_bytes(), type=Running)
        os.kill(running.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    return running


def forget_running(settings: Settings) -> None:
    """Removes the file: nothing runs any more."""
    (settings.run_directory / "serve.json").unlink(missing_ok=True)
