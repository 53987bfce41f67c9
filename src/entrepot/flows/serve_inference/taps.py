"""Which answers of an operation are relayed as they come, and through which tap."""

from collections.abc import Callable
from typing import Final

from entrepot.dialects.operations import OPERATIONS, Operation
from entrepot.relay import sse
from entrepot.relay.bytes_tap import BytesTap
from entrepot.relay.usage_tap import StreamTap

NewTap = Callable[[bytes], StreamTap | None]


def taps_of(operation: Operation, *, drop_usage: bool) -> NewTap:
    """What makes the tap for an answer of a media type, if it is one to relay as it comes."""
    return (_USAGE_DROPPED if drop_usage else _USAGE_KEPT)[operation.name]


def _taps(operation: Operation, *, drop_usage: bool) -> NewTap:
    answers = operation.answers

    def new_tap(media_type: bytes) -> StreamTap | None:
        if media_type == sse.MEDIA_TYPE:
            return StreamTap(
                marks=answers.marks,
                read=answers.event,
                drop_usage=drop_usage,
                event_bytes_max=answers.event_bytes_max,
            )
        return BytesTap() if answers.relays_bytes and media_type != b"application/json" else None

    return new_tap


_USAGE_KEPT: Final = {name: _taps(row, drop_usage=False) for name, row in OPERATIONS.items()}
_USAGE_DROPPED: Final = {name: _taps(row, drop_usage=True) for name, row in OPERATIONS.items()}
