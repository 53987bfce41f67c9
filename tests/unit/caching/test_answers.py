"""What is kept of an answer, and which answers are."""

import msgspec
import pytest

from entrepot.caching.answers import Keeping, read_kept
from entrepot.core.periods import SECOND
from entrepot.core.usage_event import Outcome, Source, UsageEvent

METERS = {"input_tokens": 3, "output_tokens": 4}


USAGE = UsageEvent(
    id="1", admitted_at=1, finished_at=2, customer="c", project="p", deployment="d", model="m", tier="default",
    meters=METERS, source="reported", outcome="stop", raw=b"{}",
)  # fmt: skip


def keeping(size: int = 100) -> Keeping:
    kept = Keeping(5 * SECOND, size)
    kept.is_stream = True
    return kept


def test_a_whole_answer_is_kept_with_what_it_was_metered_as() -> None:
    answer = keeping()
    answer.add(b"data: a\n\n")
    answer.add(b"data: [DONE]\n\n")
    kept = read_kept(answer.whole(USAGE) or b"")
    assert kept is not None
    assert (kept.body, kept.is_stream, kept.meters, kept.outcome, kept.raw) == (
        b"data: a\n\ndata: [DONE]\n\n", True, METERS, "stop", b"{}",
    )  # fmt: skip
    assert kept.age_s(65 * SECOND) == 60
    assert kept.age_s(4 * SECOND) == 0


@pytest.mark.parametrize(
    ("meters", "source", "outcome"),
    [
        (METERS, "counted", "stop"),
        (METERS, "reported", "content_filter"),
        (METERS, "reported", "tool_calls"),
        (METERS, "reported", "upstream_failed"),
        (METERS, "reported", "client_left"),
        ({}, "reported", "stop"),
    ],
)
def test_an_answer_that_is_not_complete_and_well_metered_is_not(
    meters: dict[str, int], source: Source, outcome: Outcome
) -> None:
    answer = keeping()
    answer.add(b"x")
    assert answer.whole(msgspec.structs.replace(USAGE, meters=meters, source=source, outcome=outcome)) is None


def test_an_answer_that_is_too_long_is_not() -> None:
    for pieces, is_kept in (
        ((b"x" * 50, b"y" * 50), True),
        ((b"x" * 50, b"y" * 51), False),
        ((b"x" * 101,), False),
    ):
        answer = keeping()
        for piece in pieces:
            answer.add(piece)
        assert (answer.whole(USAGE) is not None) is is_kept


@pytest.mark.parametrize("value", [b"", b"\xc1", b"{}", b"\x97\x02\x00\xc3\xc4\x00\x80\xa4stop\xc4\x00"])
def test_what_something_else_wrote_is_no_answer(value: bytes) -> None:
    assert read_kept(value) is None
