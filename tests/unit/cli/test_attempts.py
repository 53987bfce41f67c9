"""The attempts behind a request, from what the books hold of them."""

from entrepot.cli.attempts import attempt_lines, attempts_of
from entrepot.core.log_records import AttemptEnded
from entrepot.ports.books import MadeAttempt
from tests.support.billing import MARCH, usage

ANSWERED = usage("a", upstream="west", outcome="stop")
REFUSED = AttemptEnded(
    id="a", number=1, began_at=MARCH, at=MARCH + 9, upstream="east", outcome="refused", status=503,
    meters={"input_tokens": 4},
)  # fmt: skip


def told(*made: MadeAttempt) -> list[tuple[int, str, str, bool, dict[str, int]]]:
    return [
        (item.number, item.upstream, item.outcome, item.charged, item.meters) for item in attempts_of(ANSWERED, made)
    ]


def test_a_request_that_took_one() -> None:
    other = MadeAttempt("b", 1, MARCH, "east", REFUSED)
    assert told(other) == [(1, "west", "stop", True, {"input_tokens": 10})]


def test_a_request_that_was_tried_again() -> None:
    made = MadeAttempt("a", 1, MARCH, "east", REFUSED), MadeAttempt("a", 2, MARCH + 9, "west")
    assert told(*made) == [
        (1, "east", "refused", False, {"input_tokens": 4}),
        (2, "west", "stop", True, {"input_tokens": 10}),
    ]
    lines = list(attempt_lines(attempts_of(ANSWERED, made)))
    assert len(lines) == 3
    assert "refused 503" in lines[1]
    assert " no " in lines[1]


def test_the_first_of_two_answered() -> None:
    lost = MadeAttempt("a", 2, MARCH, "east", None)
    assert told(lost) == [(1, "west", "stop", True, {"input_tokens": 10}), (2, "east", "", False, {})]


def test_a_request_that_was_not_billed_has_the_attempt_that_was_cut() -> None:
    cut = AttemptEnded(id="a", number=1, began_at=MARCH, at=MARCH, upstream="west", outcome="client_left")
    assert told(MadeAttempt("a", 1, MARCH, "west", cut)) == [(1, "west", "client_left", False, {})]


def test_nothing_is_said_of_usage_that_no_upstream_served() -> None:
    assert list(attempts_of(usage("b"), ())) == []
    assert list(attempt_lines(())) == ["no attempt is known that matches"]
