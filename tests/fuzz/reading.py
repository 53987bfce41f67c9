"""What a parser makes of bytes, so that two parsers can be compared: messages, and what became of the rest."""

import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

Rest = Literal["nothing", "waits", "refused", "closed"]


class Message(NamedTuple):
    """One message. subject: a request's method and target, an answer's status."""

    subject: tuple[bytes, ...]
    body: bytes


class Reading(NamedTuple):
    """What was read. rest: of what follows the messages; waits: it is not whole; closed: it is not looked at.

    starts: where each message begins, and what follows them, as far as that is known.
    """

    messages: tuple[Message, ...]
    rest: Rest
    starts: tuple[int, ...] = ()


def cuts_of(data: bytes) -> Iterator[list[bytes]]:
    """The same bytes in pieces: byte by byte where there are few, and cut at places that depend on them."""
    if len(data) <= 200:
        yield [data[at : at + 1] for at in range(len(data))]
    seed = zlib.crc32(data)
    places = sorted({(seed >> shift) % (len(data) + 1) for shift in (0, 7, 13)})
    yield [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
