"""What a backup says of itself."""

import msgspec

from entrepot.ports.event_log import NO_PREFIX, LogPrefix

FORMAT = 1


class KeptFile(msgspec.Struct, frozen=True):
    """A file beside the log. name: in the data directory; file: in the backup; sha256: in hex."""

    name: str
    file: str
    size_bytes: int
    sha256: str


class Backup(msgspec.Struct, frozen=True):
    """What counts of a backup. at: every answer that had ended then is in it, "" while none was completed."""

    at: str = ""
    log: LogPrefix = NO_PREFIX
    files: tuple[KeptFile, ...] = ()
    format: int = FORMAT
