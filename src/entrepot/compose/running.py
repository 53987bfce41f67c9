"""What runs on a data directory now: a lock for each role, and a file for each `entrepot serve` with its processes."""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from entrepot.compose.home import open_lock
from entrepot.compose.settings import Settings, load_settings
from entrepot.core.errors import StartFailed

ROLES = ("log", "models", "worker", "gateway", "control", "jobs")


class Running(msgspec.Struct, frozen=True):
    """A running `entrepot serve`.

    children: {name: process id}, those that run at this moment. settings: {variable: value} as the gateways have them,
    but for secrets. valkey: the server that they share; "" for none. roles: what it runs; nobody else runs that here.
    """

    pid: int
    gateway: str
    console: str
    children: dict[str, int]
    settings: dict[str, str] = {}
    valkey: str = ""
    roles: Sequence[str] = ROLES

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
    path = _file(settings, running.roles)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(running))
    fresh.replace(path)


def read_running(settings: Settings) -> list[Running]:
    """Each `entrepot serve` that runs now: none, one of everything, or some of a part each."""
    found = (_read(path) for path in sorted(settings.run_directory.glob("serve*.json")))
    return [running for running in found if running is not None]


def missing_roles(running: Sequence[Running]) -> list[str]:
    """What nobody runs. Models are not missed: a world may have none on this machine."""
    return [role for role in ROLES if role != "models" and not any(role in each.roles for each in running)]


def forget_running(settings: Settings, roles: Sequence[str]) -> None:
    """Removes the file: what ran these roles does so no more."""
    _file(settings, roles).unlink(missing_ok=True)


def _file(settings: Settings, roles: Sequence[str]) -> Path:
    """No two that run at once have the same: each role is held by one."""
    return settings.run_directory / ("serve.json" if len(roles) > 1 else f"serve-{roles[0]}.json")


def _read(path: Path) -> Running | None:
    try:
        running = msgspec.json.decode(path.read_bytes(), type=Running)
        with contextlib.suppress(PermissionError):  # Another user's process is one, too.
            os.kill(running.pid, 0)
    except (FileNotFoundError, ProcessLookupError, msgspec.DecodeError):
        return None
    return running
