"""Event streams under the fuzzer: relayed to the byte, counted and metered the same however the network cuts them.

The reference reads a stream line by line, as the standard says, and looks for marks in each event by itself.
"""

import re

from entrepot.dialects import openai, responses
from entrepot.dialects.answers import Answers
from entrepot.relay.usage_tap import StreamTap
from tests.fuzz.reading import cuts_of


def check(data: bytes) -> None:
    """Raises: AssertionError when two readings of data disagree.

    The first byte says whether usage is to be dropped, and of what shape the events are.
    """
    if not data:
        return
    drop, shape, payload = bool(data[0] & 1), responses.WHOLE if data[0] & 2 else openai.TEXT, data[1:]
    whole = tapped(shape, [payload], drop=drop)
    for pieces in cuts_of(payload):
        for chunked in (False, True):
            again = tapped(shape, pieces, drop=drop, chunked=chunked)
            assert again == whole, f"in pieces, {chunked=}: {again}, at once: {whole}"
    relayed, held, counted, usage, finish = whole
    if not drop:
        assert relayed + held == one_empty_line(payload), "bytes were lost or made up"
    if not _is_unusual(payload):
        reference = by_lines(shape, payload)
        assert (usage, finish, bool(held)) == reference, f"by lines: {reference}, we: {(usage, finish, bool(held))}"
    assert counted <= payload.count(b"data:")


def one_empty_line(events: bytes) -> bytes:
    """The same events. A second empty line between two of them goes with the first or the second, as the cut has it."""
    return re.sub(rb"\A(?:\r?\n)+", b"", re.sub(rb"\n(?:\r?\n)+", b"\n\n", events))


def tapped(
    shape: Answers, pieces: list[bytes], *, drop: bool, chunked: bool = False
) -> tuple[bytes, bytes, int, bytes, str]:
    """(relayed, held back, events counted, usage, finish reason).

    chunked: each piece comes as one HTTP chunk, which is passed on as it is where the tap says so.
    """
    tap = StreamTap(marks=shape.marks, read=shape.event, drop_usage=drop)
    relayed = b""
    for piece in pieces:
        if chunked and piece and tap.passes(b"%x\r\n%b\r\n" % (len(piece), piece)):
            relayed += piece
        else:
            relayed += tap.feed(piece)
    relayed += tap.end()
    return one_empty_line(relayed), one_empty_line(tap.held), tap.counted, tap.usage, tap.finish


def _is_unusual(payload: bytes) -> bool:
    """Whether a stream holds a bare CR, which ends a line by the standard, and which no model server writes."""
    return b"\r" in payload.replace(b"\r\n", b"")


def by_lines(shape: Answers, payload: bytes) -> tuple[bytes, str, bool]:
    """(usage as its bytes, finish reason, whether the end was seen) by the standard's algorithm."""
    usage, finish = b"", ""
    event: list[bytes] = []
    is_first = True
    for line in [*payload.replace(b"\r\n", b"\n").split(b"\n"), b""]:
        if line:
            event.append(line)
            continue
        said = b"\n".join([line[5:].removeprefix(b" ") for line in event if line.startswith(b"data:")])
        tells = is_first or any(mark in b"\n".join(event) for mark in shape.marks)
        is_first = is_first and not any(line.startswith(b"data:") for line in event)
        event = []
        if tells:
            told = shape.event(said)
            usage, finish = told.usage or usage, told.finish or finish
            if told.is_last:
                return usage, finish, True
    return usage, finish, False
