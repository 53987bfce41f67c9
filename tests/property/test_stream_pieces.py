"""However a request or a stream is cut on its way, what is read of it, relayed and counted is the same."""

from hypothesis import given
from hypothesis import strategies as st

from entrepot.dialects import openai
from entrepot.edge.http_requests import Request, RequestLimits, RequestReader
from entrepot.relay.http1 import AnswerReader
from entrepot.relay.usage_tap import StreamTap

cuts = st.lists(st.integers(0, 4000), max_size=12)


def pieces(data: bytes, at: list[int]) -> list[bytes]:
    """data, cut at these places."""
    places = sorted({place for place in at if 0 < place < len(data)})
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def chunked(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts if part) + b"0\r\n\r\n"


# ---- requests

bodies = st.binary(max_size=300)
heads = st.sampled_from([b"Host: here\r\n", b"Host: here\r\nUser-Agent: a\r\nX-Long: " + b"l" * 90 + b"\r\n"])


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    head = b"POST /v1/x?y=z HTTP/1.1\r\n" + draw(heads)
    body = draw(bodies)
    if draw(st.booleans()):
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(pieces(body, draw(cuts)))


def read(data: list[bytes]) -> list[dict[str, object]]:
    """All requests of a connection on which they come one after the other."""
    reader = RequestReader(RequestLimits())
    found = []
    for piece in data:
        request = reader.feed(piece)
        while request is not None:
            found.append(facts(request))
            request = reader.feed(b"")
    assert not reader.has_begun
    return found


def facts(request: Request) -> dict[str, object]:
    head = request.head
    return {
        "body": request.body,
        **{name: getattr(head, name) for name in ("method", "path", "query", "keep_alive", "takes_chunks")},
    }


@given(sent=st.lists(requests(), min_size=1, max_size=4), at=cuts)
def test_requests(sent: list[bytes], at: list[int]) -> None:
    whole = b"".join(sent)
    assert read(pieces(whole, at)) == [request for one in sent for request in read([one])]


def test_requests_byte_by_byte() -> None:
    sent = b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /y HTTP/1.1\r\nHost: h\r\n\r\n" * 3
    assert read([sent[place : place + 1] for place in range(len(sent))]) == read([sent])
    for place in range(len(sent)):
        assert read([sent[:place], sent[place:]]) == read([sent])


# ---- streams

EVENTS = {
    "role": '{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}',
    "word": '{"choices":[{"delta":{"content":"\\n\\n \\"finish_reason\\":\\"stop\\" data: b"},"finish_reason":null}]}',
    "spaced": '{"choices": [{"delta": {"content": "é"}, "finish_reason": null}]}',
    "finish": '{"choices":[{"delta":{},"finish_reason":"length"}]}',
    "spaced finish": '{"choices": [{"delta": {"content": "x"}, "finish_reason": "stop"}]}',
    "usage": '{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2,"total_tokens":6}}',
    "done": "[DONE]",
}

lines = st.sampled_from(["\n", "\r\n"])


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """The events of a stream; comments between them; one kind of line end throughout, as servers write."""
    end = draw(lines)
    names = draw(st.lists(st.sampled_from([*EVENTS, "comment"]), max_size=12))
    texts = [": still here" if name == "comment" else f"data: {EVENTS[name]}" for name in names]
    return [f"{text}{end}{end}".encode() for text in texts]


def relayed(tap: StreamTap, payloads: list[bytes]) -> tuple[object, ...]:
    """What was relayed and what was noted."""
    out = b"".join(tap.feed(payload) for payload in payloads) + tap.end()
    return out, tap.held, tap.counted, tap.usage, tap.finish, tap.finished


def tap(drop_usage: bool) -> StreamTap:
    return StreamTap(marks=openai.STREAM_MARKS, read=openai.read_event, drop_usage=drop_usage)


@given(events=streams(), at=cuts, drop=st.booleans())
def test_streams(events: list[bytes], at: list[int], drop: bool) -> None:
    whole = b"".join(events)
    one_by_one = relayed(tap(drop), events)
    assert relayed(tap(drop), [whole]) == one_by_one
    assert relayed(tap(drop), pieces(whole, at)) == one_by_one


@given(events=streams(), at=cuts)
def test_nothing_is_changed_and_only_usage_is_left_out(events: list[bytes], at: list[int]) -> None:
    made = tap(drop_usage=False)
    out, held, *_ = relayed(made, pieces(b"".join(events), at))
    assert isinstance(out, bytes)
    assert isinstance(held, bytes)
    assert out + held == b"".join(events)
    made = tap(drop_usage=True)
    out, held, *_ = relayed(made, pieces(b"".join(events), at))
    assert isinstance(out, bytes)
    assert isinstance(held, bytes)
    last = next((place for place, event in enumerate(events) if b"[DONE]" in event), len(events))
    kept = [event for place, event in enumerate(events) if place > last or b'"prompt_tokens"' not in event]
    assert out + held == b"".join(kept)


@given(events=streams(), at=cuts, again=cuts, drop=st.booleans())
def test_an_answer_in_chunks_through_the_reader_and_the_tap(
    events: list[bytes], at: list[int], again: list[int], drop: bool
) -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(pieces(b"".join(events), at))
    reader = AnswerReader()
    payloads = [reader.feed(piece) for piece in pieces(wire, again)]
    assert reader.complete
    assert relayed(tap(drop), payloads) == relayed(tap(drop), events)


@given(events=streams(), drop=st.booleans())
def test_chunks_that_pass_as_they_are_count_the_same(events: list[bytes], drop: bool) -> None:
    fast, slow = tap(drop), tap(drop)
    out = []
    for event in events:
        chunk = b"%x\r\n%b\r\n" % (len(event), event)
        out.append(event if fast.passes(chunk) else fast.feed(event))
    assert (b"".join(out), fast.held, fast.counted) == relayed(slow, events)[:3]
