"""Snapshots in a file that is replaced whole: a reader, or a machine that loses power, finds the old or the new one."""

import os
from collections.abc import Generator
from pathlib import Path

from entrepot.core.errors import SnapshotRefused
from entrepot.core.snapshot import GatewaySnapshot, decoding, encode_snapshot
from entrepot.core.turns import at_once


class FileSnapshots:
    """The snapshot at `path`; its directory is made when needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, snapshot: GatewaySnapshot) -> None:
        """Replaces the file; durable once this returns. One publisher at a time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(encode_snapshot(snapshot))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        _sync_directory(self._path.parent)

    def load(self) -> GatewaySnapshot | None:
        """The published snapshot, or None before the first. Raises: SnapshotRefused."""
        return at_once(self.loading())

    def loading(self) -> Generator[None, None, GatewaySnapshot | None]:
        """The same in small steps, with whatever is published meanwhile left for the next time."""
        try:
            with self._path.open("rb") as file:
                return (yield from decoding(file))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise SnapshotRefused(f"the snapshot {self._path} cannot be read: {error.strerror}") from None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
