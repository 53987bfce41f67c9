"""The tap: what passes, what is held, what is left out, what is counted; however the stream is cut."""

import pytest

from entrepot.dialects import openai
from entrepot.relay.sse import data_of, end_of_last_event, split_events
from entrepot.relay.usage_tap import OverlongEvent, StreamTap


def event(text: str, end: str = "\n\n") -> bytes:
    return f"data: {text}{end}".encode()


ROLE = event('{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}')
WORD = event('{"choices":[{"delta":{"content":"a \\"prompt_tokens\\" [DONE"},"finish_reason":null}],"usage":null}')
CALL = event('{"choices":[{"delta":{"tool_calls":[{"index":0}]},"finish_reason":null}]}')
FINISH = event('{"choices":[{"delta":{},"finish_reason":"length"}]}')
FINISH_WITH_WORD = event('{"choices": [{"delta": {"content": "b"}, "finish_reason": "stop"}]}')
USAGE = event('{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}')
USAGE_WITH_WORD = event('{"choices":[{"delta":{"content":"c"}}],"usage":{"prompt_tokens":4,"completion_tokens":3}}')
DONE = event("[DONE]")
PING = b": still here\n\n"
RAW = b'{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}'


def tap(*, drop_usage: bool = True) -> StreamTap:
    return StreamTap(marks=openai.STREAM_MARKS, read=openai.read_event, drop_usage=drop_usage)


def fed(made: StreamTap, *pieces: bytes) -> bytes:
    return b"".join(made.feed(piece) for piece in pieces) + made.end()


def test_an_event_in_many_pieces_is_put_together_once() -> None:
    made = tap()
    pieces = [b"data: {", *(b"x" * 99 for _ in range(99)), b"}\r\n\r"]
    assert [made.feed(piece) for piece in pieces] == [b""] * 101
    # The first is what is left of it behind whole events, here all of it: compiled code copies that.
    assert made._parts[0] == pieces[0]
    assert all(kept is piece for kept, piece in zip(made._parts[1:], pieces[1:], strict=True))
    assert made.feed(b"\ndata: ") == b"".join(pieces) + b"\n"
    assert made.end() == b"data: "


def test_content_passes_and_is_counted_but_for_role_and_finish() -> None:
    made = tap()
    assert fed(made, ROLE, WORD, WORD + CALL, PING, FINISH) == ROLE + WORD + WORD + CALL + PING + FINISH
    assert (made.counted, made.finish, made.usage, made.finished) == (3, "length", b"", False)


def test_a_first_or_last_event_with_content_is_counted() -> None:
    made = tap()
    fed(made, WORD, FINISH_WITH_WORD)
    assert (made.counted, made.finish) == (2, "stop")


@pytest.mark.parametrize("drop", [True, False])
def test_usage_is_taken_and_left_out_when_the_client_did_not_ask(drop: bool) -> None:
    made = tap(drop_usage=drop)
    assert fed(made, ROLE + WORD + USAGE + DONE) == ROLE + WORD + (b"" if drop else USAGE)
    assert made.usage == RAW
    assert (made.finished, made.held) == (True, DONE)


def test_usage_beside_content_always_passes() -> None:
    made = tap()
    assert fed(made, ROLE, USAGE_WITH_WORD) == ROLE + USAGE_WITH_WORD
    assert made.usage.startswith(b'{"prompt_tokens":4')
    assert made.counted == 1


def test_usage_that_still_grows_is_not_the_last_word() -> None:
    made = tap()
    made.feed(ROLE + USAGE_WITH_WORD)
    assert (made.usage != b"", made.final_usage) == (True, b"")
    made.feed(FINISH)
    assert made.final_usage == made.usage


def test_what_follows_the_last_event_is_held_with_it() -> None:
    made = tap()
    assert fed(made, ROLE, DONE + PING, WORD) == ROLE
    assert made.held == DONE + PING + WORD


def test_events_whose_lines_end_differently_are_told_apart_however_they_are_cut() -> None:
    stream = b"data: {}\n\ndata: a\r\n\r\ndata: b\n\ndata: [DONE]\r\n\r\n"
    for cut in range(len(stream)):
        made = tap()
        assert made.feed(stream[:cut]) + made.feed(stream[cut:]) == stream[:-16]
        assert (made.held, made.counted) == (b"data: [DONE]\r\n\r\n", 2)


def test_a_part_of_an_event_waits_for_the_rest() -> None:
    made = tap()
    assert made.feed(ROLE + WORD[:10]) == ROLE
    assert made.feed(WORD[10:-1]) == b""
    assert made.feed(WORD[-1:]) == WORD


def test_a_last_event_without_its_empty_line_passes_at_the_end() -> None:
    made = tap()
    assert made.feed(ROLE + FINISH[:-2]) == ROLE
    assert made.end() == FINISH[:-2]
    assert made.finish == "length"


def test_an_event_without_an_end_is_given_up() -> None:
    made = StreamTap(marks=openai.STREAM_MARKS, read=openai.read_event, drop_usage=False, event_bytes_max=100)
    made.feed(b"data: " + b"x" * 90)
    with pytest.raises(OverlongEvent):
        made.feed(b"x" * 10)


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_where_events_end(end: str) -> None:
    one, two = event("1", end), event("2", end)
    assert end_of_last_event(one + two + b"data: 3") == len(one + two)
    assert end_of_last_event(b"data: 3") == 0
    assert split_events(one + two) == [one, two]
    assert split_events(b"data: 3") == [b"data: 3"]


@pytest.mark.parametrize(
    ("raw", "data"),
    [
        (b"data: x\n\n", b"x"),
        (b"data:x\r\n\r\n", b"x"),
        (b"event: e\ndata: x\ndata:  y\n\n", b"x\n y"),
        (b": comment\n\n", b""),
        (b"data: x", b"x"),
        (b"database: x\n\n", b""),
    ],
)
def test_the_data_of_an_event(raw: bytes, data: bytes) -> None:
    assert data_of(raw) == data
