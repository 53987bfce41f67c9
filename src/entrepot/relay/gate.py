"""Bytes in order, some of which must wait."""

from collections import deque
from collections.abc import Callable


class _Held:
    """Bytes that wait."""

    __slots__ = ("data", "is_free")

    def __init__(self, data: bytes, *, is_free: bool) -> None:
        self.data = data
        self.is_free = is_free


class Gate:
    """Hands on what it is given, in order; what is held, and all behind it, once it is let go. size: of what waits."""

    __slots__ = ("_waiting", "size", "write")

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.write = write
        self._waiting: deque[_Held] = deque()
        self.size = 0

    def send(self, data: bytes) -> None:
        """Hands data on, behind whatever waits."""
        if self._waiting:
            self._keep(_Held(data, is_free=True))
        else:
            self.write(data)

    def hold(self, data: bytes) -> Callable[[], None]:
        """Keeps data until the function that is returned is called."""
        held = _Held(data, is_free=False)
        self._keep(held)

        def let_go() -> None:
            held.is_free = True
            self._hand_on()

        return let_go

    def drop(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()
        self.size = 0

    def _keep(self, held: _Held) -> None:
        self._waiting.append(held)
        self.size += len(held.data)

    def _hand_on(self) -> None:
        while self._waiting and self._waiting[0].is_free:
            held = self._waiting.popleft()
            self.size -= len(held.data)
            self.write(held.data)
