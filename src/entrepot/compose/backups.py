"""Backups of a data directory and homes made of them: the log, and the few files that are in no log.

What is left out: what comes back by itself (books, snapshot, what gateways read of budgets, prepared models), what is
of running processes, and secrets. `installation`, too: counters in a Valkey go by it, and those of the home that was
lost know usage that the restored log does not.
"""

import contextlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from entrepot.adapters.backup_directory import MANIFEST, BackupDirectory
from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.disk_event_log.copying import copy_log
from entrepot.adapters.disk_event_log.files import DURABLE, Durable, read_durable
from entrepot.adapters.disk_event_log.instances import InstanceFile
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.job_store import copy_jobs
from entrepot.adapters.local_disk import LocalDisk
from entrepot.compose.home import make_home
from entrepot.compose.settings import Settings
from entrepot.core.errors import BadInput, LogDamaged, UsageLogUnavailable
from entrepot.core.log_records import Admitted, InstanceBegan, InstanceLost, MonthClosed
from entrepot.core.periods import format_instant
from entrepot.core.segments import encode_durable, segment_numbers
from entrepot.ports.backups import Backup
from entrepot.ports.disk import write_all
from entrepot.ports.event_log import NO_PREFIX, START

Report = Callable[[int], object]

_LOG = "log"
_RESTORING = "restoring"
_OURS = {"lock", f"{MANIFEST}.new"}


class Restored(NamedTuple):
    """What a restored log has open: gateways at work when it was backed up; and the months that are closed in it."""

    gateways: list[str]
    closed: list[str]


def back_up(settings: Settings, directory: Path, report: Report) -> tuple[Backup, int]:
    """(what the backup holds now, bytes of the log that are new in it). report: told of the log's bytes so far.

    Raises: BadInput, LogDamaged, UsageLogUnavailable; then the backup is what it was.
    """
    with _writing(directory) as kept:
        at = format_instant(SystemClock().now())
        source = LocalDisk(settings.log_directory)
        until = _durable(settings, source)
        before = kept.load() or Backup()
        kept.save(before)  # From the first byte on this is a backup, whenever the run ends.
        try:
            log = copy_log(source, LocalDisk(directory / _LOG), before.log, until, report)
        except BadInput as error:
            raise BadInput(f"{directory}: {error.message}; back up into another directory") from None
        # Behind the log: an answer that a batch has kept is not asked for again, so its usage comes into no log twice.
        files = []
        if settings.jobs_file.exists():
            files.append(kept.keep(settings.jobs_file.name, lambda path: copy_jobs(settings.jobs_file, path)))
        if settings.notices_file.exists():
            files.append(kept.keep(settings.notices_file.name, lambda path: _copy(settings.notices_file, path)))
        now = Backup(at, log, tuple(files))
        kept.save(now)
        return now, log.holds.size_bytes - before.log.holds.size_bytes


def prove_backup(directory: Path) -> Backup:
    """What a backup holds, every byte of it read. Raises: BadInput when there is none, LogDamaged."""
    kept = BackupDirectory(directory, LocalDisk(directory))
    backup = _completed(directory, kept)
    until = Durable(backup.log.holds.segments, backup.log.length)
    try:
        checked = DiskLogReader(LocalDisk(directory / _LOG), until).check()
    except LogDamaged as error:
        raise LogDamaged(f"{directory / _LOG}: {error.message}") from None
    if checked != backup.log.holds:
        raise LogDamaged(f"{directory}: the log is not the one that {MANIFEST} describes; restore both from a copy")
    for file in backup.files:
        kept.prove(file)
    return backup


def restore(directory: Path, settings: Settings, report: Report) -> tuple[Backup, Restored]:
    """Makes a data directory of a backup, every byte proven. report: told of the log's bytes so far.

    Raises: BadInput, LogDamaged; then the data directory has nothing in it that counts.
    """
    kept = BackupDirectory(directory, LocalDisk(directory))
    backup = _completed(directory, kept)
    make_home(settings)
    names = _names(settings.home)
    moved = {file.name for file in backup.files} if _RESTORING in names else set()  # By a run that was killed.
    if others := sorted(names - moved - {_RESTORING}):
        raise BadInput(f"{settings.home} has {', '.join(others[:3])} in it; restore into a new or empty directory")
    fresh = settings.home / _RESTORING
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        restored = _restore_log(directory / _LOG, fresh / _LOG, backup, report)
        for file in backup.files:
            _copy(kept.prove(file), fresh / file.name)
        for name in (*(file.name for file in backup.files), _LOG):  # The log last: without it this is no home.
            (fresh / name).replace(settings.home / name)
        LocalDisk(settings.home).sync_names()
    except OSError as error:
        raise BadInput(f"{error.filename or settings.home}: {error.strerror}; nothing is restored") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return backup, restored


def _restore_log(source: Path, target: Path, backup: Backup, report: Report) -> Restored:
    until = Durable(backup.log.holds.segments, backup.log.length)
    disk = LocalDisk(target)
    try:
        copied = copy_log(LocalDisk(source), disk, NO_PREFIX, until, report)
    except LogDamaged as error:
        raise LogDamaged(f"{source}: {error.message}") from None
    if copied != backup.log:
        raise LogDamaged(f"{source}: the log is not the one that {MANIFEST} describes; restore both from a copy")
    durable = disk.create(DURABLE)
    write_all(durable, 0, encode_durable(*until))
    durable.sync()
    durable.close()
    restored = _read_through(DiskLogReader(disk))
    # The log process declares them lost when it starts, and their open requests are resolved.
    InstanceFile(disk).save(restored.gateways)
    return restored


def _read_through(reader: DiskLogReader) -> Restored:
    gateways: set[str] = set()
    closed: set[str] = set()
    for _, record in reader.read(START, sys.maxsize):
        if isinstance(record, Admitted | InstanceBegan):
            gateways.add(record.instance)
        elif isinstance(record, InstanceLost):
            gateways.discard(record.instance)
        elif isinstance(record, MonthClosed):
            closed.add(record.period)
    return Restored(sorted(gateways), sorted(closed))


def _completed(directory: Path, kept: BackupDirectory) -> Backup:
    backup = kept.load()
    if backup is None:
        raise BadInput(f"there is no backup in {directory}: it has no {MANIFEST}")
    if not backup.log.holds.segments:
        raise BadInput(f"there is no backup in {directory} yet: the first run has not ended")
    return backup


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[BackupDirectory]:
    """The directory of a backup, which nobody else writes meanwhile. Raises: BadInput."""
    disk = LocalDisk(directory)
    kept = BackupDirectory(directory, disk)
    try:
        if kept.load() is None:
            others = sorted(_names(directory) - _OURS) if directory.exists() else []
            if others:  # It may be anything, even a data directory.
                raise BadInput(
                    f"{directory} has {', '.join(others[:3])} in it and no {MANIFEST}; back up into a new directory"
                )
        try:
            disk.lock()
        except UsageLogUnavailable as error:
            raise BadInput(f"{error.message.partition(';')[0]}; wait until it has ended") from None
        try:
            yield kept
        finally:
            disk.unlock()
    except OSError as error:
        place = error.filename or directory
        raise BadInput(f"{place}: {error.strerror}; a previous backup is unchanged") from None


def _names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def _durable(settings: Settings, disk: LocalDisk) -> Durable:
    durable = read_durable(disk)
    if durable is None:
        if not segment_numbers(disk.names()):
            raise BadInput(f"there is no usage log in {settings.home}")
        raise UsageLogUnavailable(
            "how far the usage log is durable cannot be read; start `entrepot serve`: its log process says it again;"
            " then back up again"
        )
    return durable


def _copy(source: Path, target: Path) -> None:
    """A durable copy for its owner only."""
    with (
        source.open("rb") as read,
        open(target, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as written,
    ):
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
