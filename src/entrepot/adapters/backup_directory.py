"""What counts of a backup, in one file of its directory, which is replaced when all it names is durable.

    backup.json      how far the log in log/ goes, and the digests of the other files
    log/             segments; they grow at their end, and may be longer than what counts
    jobs.db-…        a file of the data directory under its digest, so that another content has another name

So a run that is killed or finds no room leaves the backup that there was.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from entrepot.core.errors import BadInput, LogDamaged
from entrepot.ports.backups import FORMAT, Backup, KeptFile
from entrepot.ports.disk import Disk, replace_whole

MANIFEST = "backup.json"
_BEGUN = f"{MANIFEST}.new"
_MANIFEST_BYTES_MAX = 2**20
_NAME_DIGITS = 16


class BackupDirectory:
    """The directory of a backup, `disk` being that of `path`."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._path = path
        self._disk = disk

    def load(self) -> Backup | None:
        """What counts, None where there is no backup. Raises: BadInput, LogDamaged."""
        try:
            content = self._disk.read(MANIFEST, 0, _MANIFEST_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            found = msgspec.json.decode(content, type=Backup)
        except msgspec.DecodeError as error:
            raise LogDamaged(f"{self._path / MANIFEST} is damaged ({error}); restore it from a copy") from None
        if found.format != FORMAT:
            raise BadInput(
                f"{self._path} is in format {found.format}, this program reads {FORMAT}; use a newer version of it"
            )
        return found

    def save(self, backup: Backup) -> None:
        """Makes this what counts, and removes files that do not any more. Raises: OSError."""
        replace_whole(self._disk, _BEGUN, MANIFEST, msgspec.json.format(msgspec.json.encode(backup)) + b"\n")
        counting = {kept.file for kept in backup.files}
        for kept in backup.files:
            for name in self._disk.names():
                if name.startswith(f"{kept.name}-") and name not in counting:
                    self._disk.remove(name)

    def keep(self, name: str, write: Callable[[Path], object]) -> KeptFile:
        """A file of the data directory, durable; write: puts it at a path. Raises: OSError, as write does."""
        path = self._path / f"{name}.new"
        path.unlink(missing_ok=True)
        write(path)
        digest = _digest(path)
        kept = KeptFile(name, f"{name}-{digest[:_NAME_DIGITS]}", path.stat().st_size, digest)
        file = self._disk.open(path.name)
        try:
            file.sync()
        finally:
            file.close()
        self._disk.rename(path.name, kept.file)
        return kept

    def prove(self, kept: KeptFile) -> Path:
        """Where a file is. Raises: LogDamaged when it is not what was kept."""
        path = self._path / kept.file
        try:
            is_whole = _digest(path) == kept.sha256
        except FileNotFoundError:
            is_whole = False
        if not is_whole:
            raise LogDamaged(f"{path} is damaged or missing; restore it from a copy")
        return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
