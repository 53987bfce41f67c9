"""A segment log on a disk in memory, looked at and made to fail."""

from collections.abc import Callable

from entrepot.adapters.disk_event_log.files import read_durable
from entrepot.adapters.disk_event_log.reader import DiskLogReader
from entrepot.adapters.memory.disk import Act, Fault
from entrepot.ports.disk import Disk
from entrepot.ports.event_log import START
from tests.support.log_records import number_of


def read(disk: Disk) -> list[int]:
    """The numbers of the records in the log."""
    return [number_of(record) for _, record in DiskLogReader(disk).read(START, 10**6)]


def held(disk: Disk) -> int:
    """How much of the last segment holds something."""
    durable = read_durable(disk)
    assert durable is not None
    return durable.length


def once(act: Act, name: str = "") -> Callable[[Act, str], Fault]:
    """A fault the next time this is done to this file."""
    left = [True]

    def fault(done: Act, to: str) -> Fault:
        if done == act and to.startswith(name) and left:
            left.clear()
            return "broken"
        return None

    return fault
