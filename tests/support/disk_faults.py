"""What goes wrong with the disk of a log process (tests/support/failing_log_process.py), and is mended again."""

import resource
from contextlib import suppress

from tests.support.gateway_processes import Installation

FAILING_LOG = ("tests/support/failing_log_process.py",)

_NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


def no_room(installation: Installation) -> None:
    """The kernel lets the log process write nothing more, as where a quota is used up."""
    resource.prlimit(installation.log.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def full(installation: Installation) -> None:
    """No write finds room on the disk, and it says so."""
    (installation.settings.home / "fault").write_text("full")


def no_sync(installation: Installation) -> None:
    """No flush succeeds."""
    (installation.settings.home / "fault").write_text("sync")


def stall(installation: Installation) -> None:
    """No flush ends."""
    (installation.settings.home / "fault").write_text("stall")


def mend(installation: Installation) -> None:
    """All is well again."""
    if installation.log.poll() is None:
        resource.prlimit(installation.log.pid, resource.RLIMIT_FSIZE, _NO_LIMIT)
    with suppress(FileNotFoundError):
        (installation.settings.home / "fault").unlink()
