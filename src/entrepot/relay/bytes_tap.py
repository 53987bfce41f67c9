"""The tap on an answer that is neither JSON nor events, as sound is: relayed as it comes, and nothing in it is read."""

from typing import NoReturn

from entrepot.relay.usage_tap import StreamTap


class BytesTap(StreamTap):
    """One answer. It has its finish from the start: whatever comes whole is complete."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(marks=(), read=_nothing_said, drop_usage=False)
        self.finish = "stop"

    def feed(self, payload: bytes) -> bytes:
        """All of it."""
        return payload

    def passes(self, data: bytes) -> bool:
        """Never: what a chunk ends with tells nothing."""
        del data
        return False

    @property
    def final_usage(self) -> bytes:
        """None: such an answer says nothing of itself."""
        return b""


def _nothing_said(event: bytes) -> NoReturn:
    raise AssertionError(event)
