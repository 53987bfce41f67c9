"""`entrepot backup` and `entrepot restore`: what would be lost with the disk, elsewhere, and a data directory of it."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, progress, settings_of, show

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.compose.backups import Restored
    from entrepot.ports.backups import Backup


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `backup` and `restore`."""
    parser = add_command(
        subparsers, "backup", "copy what would be lost with the disk, while everything serves", _backup
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="of the backup; again, only what is new is copied")
    parser = add_command(subparsers, "restore", "make a data directory of a backup, every byte of it proven", _restore)
    parser.add_argument("directory", type=Path, metavar="DIR", help="of the backup")
    parser.add_argument("--dry-run", action="store_true", help="read and prove the whole backup, and restore nothing")


def _backup(args: argparse.Namespace) -> int:
    from entrepot.compose.backups import back_up

    settings, began = settings_of(args), time.monotonic()
    backup, new = back_up(settings, args.directory.absolute(), _copying)
    progress("")
    document = {**_document(backup), "new_bytes": new, "seconds": round(time.monotonic() - began, 3)}
    show(args, document, [*_lines(backup), f"backed up as of {backup.at}, {new:,} bytes of the log are new"])
    return 0


def _restore(args: argparse.Namespace) -> int:
    from entrepot.compose.backups import prove_backup, restore

    settings, directory = settings_of(args), args.directory.absolute()
    if args.dry_run:
        backup = prove_backup(directory)
        show(args, _document(backup), [*_lines(backup), f"every byte is as it was backed up, as of {backup.at}"])
        return 0
    backup, restored = restore(directory, settings, _copying)
    progress("")
    document = {**_document(backup), "gateways": restored.gateways, "closed": restored.closed}
    show(args, document, [*_lines(backup), *_told(restored), f"restored to {settings.home} as of {backup.at}"])
    return 0


def _copying(size_bytes: int) -> None:
    progress(f"copying the log: {size_bytes:,} bytes")


def _document(backup: "Backup") -> dict[str, object]:
    return {"at": backup.at, "log": backup.log.holds, "files": [file.name for file in backup.files]}


def _lines(backup: "Backup") -> Iterator[str]:
    from entrepot.compose.usage_log import counted_segments

    log = backup.log.holds
    yield f"log: {log.records:,} records in {counted_segments(log)}, seal {log.seal}"
    for file in backup.files:
        yield f"{file.name}: {file.size_bytes:,} bytes"


def _told(restored: "Restored") -> Iterator[str]:
    if count := len(restored.gateways):
        were = "gateway was" if count == 1 else "gateways were"
        yield f"{count} {were} at work: requests without an end are resolved once `entrepot serve` runs"
    yield f"closed months: {', '.join(restored.closed) or 'none'}"
