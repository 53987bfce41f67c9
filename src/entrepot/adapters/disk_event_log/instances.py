"""Which gateway instances are connected, kept on disk so that a log process that was killed can declare them lost."""

from collections.abc import Collection

import msgspec

from entrepot.core.errors import LogDamaged
from entrepot.ports.disk import Disk, replace_whole

_NAME = "instances"
_BEGUN = "instances.new"


class InstanceFile:
    """A small file beside the segments, replaced whole. Meets the port LiveInstances."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def load(self) -> list[str]:
        try:
            return msgspec.json.decode(self._disk.read(_NAME, 0, 2**24), type=list[str])
        except FileNotFoundError:
            return []
        except msgspec.DecodeError as error:
            raise LogDamaged(f"{_NAME}: the list of gateway instances is damaged ({error}); remove this file") from None

    def save(self, instances: Collection[str]) -> None:
        replace_whole(self._disk, _BEGUN, _NAME, msgspec.json.encode(sorted(instances)))
