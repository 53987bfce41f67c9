"""Chunks that are relayed as they came: the same bytes and the same counts as when they are taken apart."""

import pytest

from entrepot.core.chunked_coding import ChunkedReader
from entrepot.dialects import openai
from entrepot.relay.usage_tap import StreamTap

FIRST = b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
WORD = b'data: {"choices":[{"delta":{"content":"w"},"finish_reason":null}],"usage":null}\n\n'
LAST = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}\n\n'


def tap(*seen: bytes) -> StreamTap:
    """A tap that has relayed these events."""
    made = StreamTap(marks=openai.STREAM_MARKS, read=openai.read_event, drop_usage=False)
    for event in seen:
        made.feed(event)
    return made


def chunk(payload: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def test_a_chunk_of_content_passes_and_counts_like_its_payload() -> None:
    fast, slow = tap(FIRST), tap(FIRST)
    for payload in (WORD, WORD + WORD, WORD * 40):
        assert fast.passes(chunk(payload))
        assert slow.feed(payload) == payload
        assert fast.counted == slow.counted
    assert fast.counted == 43


@pytest.mark.parametrize("payload", [LAST, USAGE, WORD + LAST, b"data: [DONE]\n\n", WORD[:-1], WORD + b"data: {"])
def test_a_chunk_that_says_more_or_holds_less_does_not_pass(payload: bytes) -> None:
    made = tap(FIRST)
    assert not made.passes(chunk(payload))
    assert made.counted == 0


@pytest.mark.parametrize(
    "data",
    [
        chunk(WORD)[:-1],
        chunk(WORD * 80),
        chunk(WORD) + chunk(WORD),
        chunk(WORD).replace(b"\r\n", b";x=y\r\n", 1),
        chunk(WORD).replace(b"\r\n", b"\n", 1),
        b"0" + chunk(WORD),
        b"+" + chunk(WORD),
        b"%X\r\n%b\r\n" % (0xAB, b"data: " + b"x" * (0xAB - 8) + b"\n\n"),
        b"1\r\n" + WORD + b"\r\n",
        b"",
        b"0\r\n\r\n",
    ],
)
def test_anything_but_exactly_one_chunk_does_not_pass(data: bytes) -> None:
    assert not tap(FIRST).passes(data)


def test_nothing_passes_before_the_first_event_inside_an_event_or_after_the_last() -> None:
    assert not tap().passes(chunk(WORD))
    assert not tap(FIRST, WORD[:5]).passes(chunk(WORD))
    assert not tap(FIRST, b"data: [DONE]\n\n").passes(chunk(WORD))


def test_a_reader_knows_when_it_is_between_chunks() -> None:
    reader = ChunkedReader()
    states = []
    for piece in (b"3\r\nabc\r\n", b"3", b"\r\nab", b"c\r", b"\n", b"0\r\n", b"\r\n"):
        reader.feed(piece)
        states.append(reader.between)
    assert states == [True, False, False, False, True, False, False]
