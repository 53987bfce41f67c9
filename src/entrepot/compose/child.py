"""A child process of the supervisor: `python -m entrepot.compose.child PARENT ROLE …` becomes that role's process.

No child may outlive its supervisor, not even one that was killed without a chance to say so.
"""

import contextlib
import ctypes
import importlib
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence

from entrepot.compose.home import outer_fault

# The module of each role, whose main(arguments) runs until it is told to stop and returns an exit status.
ROLES = {
    "log": "entrepot.compose.log_process",
    "counters": "entrepot.compose.counter_process",
    "gateway": "entrepot.compose.gateway",
    "model": "entrepot.compose.model_server",
    "worker": "entrepot.compose.worker",
    "control": "entrepot.compose.control_plane",
    "jobs": "entrepot.compose.jobs",
}

_PR_SET_PDEATHSIG = 1  # Source: prctl(2).
_LOOK_S = 0.5


def main(argv: Sequence[str]) -> int:
    """The exit status of the role. argv: the supervisor's process id, the role, the role's arguments."""
    parent, role, *arguments = argv
    end_with(int(parent))
    open_more_files()
    try:
        status: int = importlib.import_module(ROLES[role]).main(arguments)
    except Exception as error:
        fault = outer_fault(error)
        if not fault:
            raise
        sys.stderr.write(f"{fault}\n")
        return 1
    return status


def open_more_files() -> None:
    """Lets this process open as many files as the system allows; the usual 1,024 is for programs that use select(2)."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS takes less than the infinity that it names.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def end_with(parent: int) -> None:
    """Makes this process die when its parent does, however that comes about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # It died before we asked to be told.
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
