"""The shortcuts in C under the fuzzer: what they give is what the long way gives.

The first byte says which shortcut. What each must hold stands in a function of its own, which
tests/property/test_shortcuts.py holds for other inputs.
"""

import json
from collections.abc import Callable
from typing import Any

from entrepot.core import counting as of_counting
from entrepot.core import kept_memory as of_kept_memory
from entrepot.core import shortcuts as of_core
from entrepot.core.capacity import Measure, Standing
from entrepot.core.estimate import Estimate
from entrepot.core.log_records import LogRecord, decode_record, encode_record
from entrepot.dialects import estimates, openai, responses
from entrepot.dialects import shortcuts as of_dialects
from entrepot.dialects.asked import Asked
from entrepot.dialects.operations import OPERATIONS
from entrepot.edge import http_answers, limit_fields
from entrepot.relay import shortcuts as of_relay
from entrepot.relay.http1 import AnswerReader
from entrepot.relay.usage_tap import StreamTap
from tests.support.twins import long_way_of, source_of

LONG_OPENAI = long_way_of("entrepot.dialects.openai", "entrepot.dialects.shortcuts")
LONG_ESTIMATES = long_way_of("entrepot.dialects.estimates", "entrepot.dialects.shortcuts")
LONG_FIELDS = long_way_of("entrepot.edge.limit_fields", "entrepot.edge.shortcuts")
LONG_USAGE = long_way_of("entrepot.dialects.openai_usage", "entrepot.dialects.shortcuts")
LONG_ANSWERS = long_way_of("entrepot.edge.http_answers", "entrepot.edge.shortcuts")
CORE_SOURCE = source_of("entrepot.core.shortcuts")
COUNTING_SOURCE = source_of("entrepot.core.counting")
KEPT_MEMORY_SOURCE = source_of("entrepot.core.kept_memory")
RELAY_SOURCE = source_of("entrepot.relay.shortcuts")

CONTEXT = 100_000
_STATUSES = (200, 201, 404, 429, 500, 599, 999)
_MARKS = (openai.STREAM_MARKS, responses.STREAM_MARKS, (b"xx", b"yyy"))


def check(data: bytes) -> None:
    """Raises: AssertionError where a shortcut leads elsewhere than the long way."""
    if data:
        CHECKS[data[0] % len(CHECKS)](data[1:])


# ---- JSON


def check_request(body: bytes) -> None:
    """What a request asks for; its body is JSON that every reader reads alike."""
    plain = of_dialects.asked_for(body)
    if plain is None:
        return
    model, begins, ends, streams, wants_usage = plain
    long = LONG_OPENAI.read_request(body)
    assert (model, streams, wants_usage) == (long.model, long.stream, long.wants_usage)
    assert json.loads(body[begins:ends]) == model
    names = [name for name, _ in json.loads(body.decode("utf-8", "replace"), object_pairs_hook=list)]
    assert len(set(names)) == len(names)
    short = openai.read_request(body)
    assert short.all_fields().keys() == long.all_fields().keys()
    assert decoded(short.write('a "name"')) == decoded(long.write('a "name"'))


def decoded(body: bytes) -> object:
    return json.loads(body.decode("utf-8", "surrogateescape"))


def check_answer(body: bytes) -> None:
    """What a whole answer says of itself."""
    plain = of_dialects.answered(body)
    if plain is not None:
        long = LONG_OPENAI.read_answer(body)
        assert long is not None
        usage, finish, meters, tier = plain
        assert (usage, finish, tier) == (long.usage, long.finish, long.tier)
        assert meters == (of_dialects.text_meters(usage) if usage else None)


def check_usage(usage: bytes) -> None:
    """The meters of a usage object, in their order."""
    plain = of_dialects.text_meters(usage)
    if plain is not None:
        assert list(plain.items()) == list(LONG_USAGE.meters_of(usage).items())


def check_estimate(body: bytes) -> None:
    """What a request is estimated by, whatever operation it is of."""
    for name in ("chat", "embeddings"):
        operation = OPERATIONS[name]
        asked = Asked({}, "m", stream=False, wants_usage=False, size=len(body))
        short, long = (
            each.estimate_of(operation, asked, body, CONTEXT, bytes_and_one) for each in (estimates, LONG_ESTIMATES)
        )
        assert numbers_of(short) == numbers_of(long)


def numbers_of(estimate: Estimate) -> tuple[int, int, int, int, bool]:
    """All that it says."""
    most = estimate.prompt_tokens_max, estimate.output_tokens_max
    return estimate.prompt_tokens, estimate.output_tokens, *most, estimate.is_guess


def bytes_and_one(text: str) -> int:
    """Tokens, as a test counts them: how texts are parted matters."""
    return len(text.encode()) + 1


# ---- HTTP


def check_whole_answer(data: bytes, shortcuts: Any = of_relay) -> None:
    """Where the body of a plain answer begins."""
    start = shortcuts.whole_answer(data)
    if start >= 0:
        reader = AnswerReader()
        assert reader.feed(data) == data[start:]
        assert reader.head is not None
        assert (reader.complete, reader.head.status, reader.head.keep_alive) == (True, 200, True)
        assert reader.head.text == data[: start - 4]
        assert RELAY_SOURCE.whole_answer(data) in {-1, start}


def check_answer_of_its_length(data: bytes) -> None:
    """The same where the head says how long the body is, which a fuzzer seldom guesses."""
    head, _, body = data.partition(b"\r\n\r\n")
    check_whole_answer(head.replace(b"%d", b"%d" % len(body)) + b"\r\n\r\n" + body)


def check_chunk(data: bytes, shortcuts: Any = of_relay, marks: tuple[bytes, ...] = openai.STREAM_MARKS) -> None:
    """The events in a chunk of content."""
    lines = shortcuts.lines_of_content(data, marks)
    assert RELAY_SOURCE.lines_of_content(data, marks) in {-1, lines}
    if lines >= 0:
        reader = AnswerReader()
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        payload = reader.feed(data)
        assert reader.chunks is not None
        assert reader.chunks.between
        tap = StreamTap(marks=marks, read=openai.read_event, drop_usage=True)
        tap.feed(b"data: {}\n\n")
        tap.counted = 0
        assert tap.feed(payload) == payload
        assert (tap.counted, tap.finished, tap.usage, tap.finish) == (lines, False, b"", "")


def check_chunk_of_its_size(data: bytes) -> None:
    """The same of a payload, as a chunk; the first byte says by which marks."""
    if data:
        payload = data[1:]
        check_chunk(b"%x\r\n%b\r\n" % (len(payload), payload), marks=_MARKS[data[0] % len(_MARKS)])


def check_head(data: bytes) -> None:
    """The head of an answer of ours, whatever its parts are."""
    status, took_ms = _STATUSES[data[0] % len(_STATUSES)] if data else 200, int.from_bytes(data[1:6], "big")
    media_type, fields, request_id, body = (*data[6:].split(b"\0", 3), b"", b"", b"", b"")[:4]
    said = status, media_type.decode("latin-1"), fields.decode("latin-1"), request_id.decode("latin-1"), took_ms, body
    assert http_answers.whole_answer(*said) == LONG_ANSWERS.whole_answer(*said)


def check_rate_limits(standings: list[Standing], *, is_azure: bool) -> None:
    """The lines of limits, whatever their numbers are."""
    told = [each.limit_fields(standings, is_azure=is_azure) for each in (limit_fields, LONG_FIELDS)]
    assert told[0] == told[1]


def check_rate_limits_of(data: bytes) -> None:
    """The same of numbers of up to nine bytes; the first of each three says what they are of."""
    numbers = [int.from_bytes(data[at : at + 9], "little", signed=True) >> at % 8 * 8 for at in range(0, len(data), 9)]
    measures: tuple[Measure, ...] = ("tokens", "requests", "load", "tokens")
    standings = [(measures[units % 4], units, left, us) for units, left, us in zip(*[iter(numbers)] * 3, strict=False)]
    check_rate_limits(standings, is_azure=len(data) % 2 == 0)


# ---- what is written


def check_record(record: LogRecord, shortcuts: Any = of_core) -> None:
    """A record with its frame."""
    try:
        expected = CORE_SOURCE.frame(encode_record(record))
    except OverflowError:  # A number of more than 64 bits.
        expected = None
    assert shortcuts.framed(record) in {None, expected}


def check_written_record(data: bytes) -> None:
    """The same of what is a record's encoding."""
    try:
        record = decode_record(data)
    except (ValueError, RecursionError):
        return
    check_record(record)


def check_frame(data: bytes) -> None:
    """A frame around any bytes; and frames of any size that are kept and dropped, in little memory."""
    assert not data or of_core.frame(data) == CORE_SOURCE.frame(data)
    memories = bytearray(64), bytearray(64)
    kept = of_kept_memory.Kept(memories[0]), KEPT_MEMORY_SOURCE.Kept(memories[1])
    for step in data:
        size, frame = step & 31, bytes([step]) * (step & 31)
        assert len({dropped(each, size) if step & 128 else each.add(frame) for each in kept}) == 1
        assert memories[0] == memories[1]


def dropped(kept: Any, size: int) -> bool:
    """Whether there was as much."""
    try:
        kept.drop(size)
    except ValueError:
        return False
    return True


def check_counts(data: bytes) -> None:
    """Ids, histograms and sums of numbers of up to nine bytes."""
    for first, doublings in ((1, 1), (9, 3)):
        histograms = [counting.Histogram(first, doublings, 6) for counting in (of_counting, COUNTING_SOURCE)]
        totals = [counting.Totals() for counting in (of_counting, COUNTING_SOURCE)]
        for at in range(0, len(data), 9):
            number = int.from_bytes(data[at : at + 9], "little")
            for histogram, total in zip(histograms, totals, strict=True):
                histogram.count(number)
                total.add({"ab"[number % 2]: number})
                total.count("c")
            told = number & 2**47 - 1, number >> 9 & 2**32 - 1, number >> 8 & 2**62 - 1
            assert of_core.event_id(*told) == CORE_SOURCE.event_id(*told)
        assert histograms[0].numbers() == histograms[1].numbers()
        assert totals[0].numbers() == totals[1].numbers()


CHECKS: tuple[Callable[[bytes], None], ...] = (
    check_request, check_answer, check_usage, check_whole_answer, check_answer_of_its_length, check_chunk,
    check_chunk_of_its_size, check_head, check_written_record, check_frame, check_counts,
    check_estimate, check_rate_limits_of,
)  # fmt: skip
