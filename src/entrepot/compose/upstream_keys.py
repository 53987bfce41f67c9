"""The keys that upstreams know us by, where the world file says they are: in the environment, or in a file."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from entrepot.core.errors import BadInput

KEY_BYTES_MAX = 16 * 1024

FileMark = tuple[int, int, int]  # Inode, time of its last change, size.
_NO_FILE: FileMark = (0, 0, 0)


def upstream_keys(environment: Mapping[str, str]) -> Callable[[str], str]:
    """What reads the key at a place (core.snapshot.Target.key); "" at no place. Raises BadInput when none is there."""

    def key_at(place: str) -> str:
        if not place:
            return ""
        return _of_file(Path(place)) if place.startswith("/") else _of_environment(place, environment)

    return key_at


class KeyWatch:
    """Notices that key files have changed, or may have: of one that was never looked at before, nobody can tell."""

    def __init__(self) -> None:
        self._seen: dict[str, FileMark] = {}
        self._all = False

    def distrust(self) -> None:
        """All keys count as changed at the next look."""
        self._all = True

    def look(self, renew: Callable[[Callable[[str], bool]], list[str]]) -> list[str]:
        """What renew says, which is told of each place whether its key has changed since the last look."""
        found: dict[str, FileMark] = {}
        faults = renew(partial(self._has_changed, found))
        self._seen |= found
        self._all = False
        return faults

    def _has_changed(self, found: dict[str, FileMark], place: str) -> bool:
        """The same for every upstream that has its key there. found: what this look has seen so far."""
        if place not in found:
            try:
                status = Path(place).stat() if place.startswith("/") else None
            except OSError:
                return False  # Where a file is replaced it may be missing for a moment.
            found[place] = _NO_FILE if status is None else (status.st_ino, status.st_mtime_ns, status.st_size)
        return self._all or found[place] != self._seen.get(place, _NO_FILE)


def _of_environment(name: str, environment: Mapping[str, str]) -> str:
    key = environment.get(name, "").strip()
    if not key:
        raise BadInput(f"the environment variable {name}, which holds its key, is not set for this process")
    return key


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            key = file.read(KEY_BYTES_MAX + 1).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"the file {path}, which holds its key, cannot be read: {reason}") from None
    if not key or len(key) > KEY_BYTES_MAX:
        raise BadInput(f"the file {path} must hold its key and nothing else")
    return key
