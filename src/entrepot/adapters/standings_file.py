"""What the books know of budgets, in a file that is replaced whole.

It is made anew from the books whenever it is lost, so nothing is flushed: after a loss of power a reader finds the old
one, the new one, or one that cannot be read and counts as none.
"""

import os
from pathlib import Path

import msgspec

from entrepot.core.budgets import SCHEMA, Standings, decode_standings, encode_standings


class FileStandings:
    """Meets the port PublishedStandings. One publisher at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def publish(self, standings: Standings) -> None:
        """See ports.standings."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode_standings(standings))
        fresh.replace(self._path)

    def load(self) -> Standings | None:
        """See ports.standings."""
        try:
            standings = decode_standings(self._path.read_bytes())
        except (OSError, msgspec.DecodeError):
            return None
        return standings if standings.schema == SCHEMA else None

    def load_new(self) -> Standings | None:
        """See ports.standings."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen == self._seen:
            return None
        self._seen = seen
        return self.load()
