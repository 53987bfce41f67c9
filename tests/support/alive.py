"""Whether a process still runs, whoever started it."""

from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether a process of this id exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # The latter where it ends between opening and reading.
        return False
