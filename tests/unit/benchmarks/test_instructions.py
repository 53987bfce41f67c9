"""What of a count of instructions is a neighbour's doing, and what is beyond the gate."""

from collections.abc import Iterator

import pytest

from benchmarks.instructions import OPEN, TRIES, Counted, Gate, beyond, least

GATE = Gate(request=72.0, event=9.0)


def counts(*thousands: float) -> Iterator[Counted]:
    yield from ({"gateway": each, "log": 20.0} for each in thousands)


def test_what_is_within_the_gate_is_counted_once() -> None:
    made = counts(56.5, 56.0)
    assert least(made.__next__, GATE.request)["gateway"] == 56.5
    assert len(list(made)) == 1


def test_what_is_beyond_the_gate_is_counted_again_and_the_least_counts(capsys: pytest.CaptureFixture[str]) -> None:
    made = counts(203.0, 90.0, 63.0, 56.5)
    found = least(made.__next__, GATE.request)
    assert beyond((found, {"gateway": 7.0}), GATE) == []
    assert (found["gateway"], len(list(made))) == (63.0, 1)
    assert capsys.readouterr().out.splitlines() == [
        "counted 203.0 k, beyond 72.0 k; it is counted again",
        "counted 90.0 k, beyond 72.0 k; it is counted again",
    ]


def test_what_takes_more_however_often_it_is_counted_is_beyond_the_gate() -> None:
    made = counts(*[75.0] * (TRIES - 2), 73.1, 80.0, 60.0)
    found = least(made.__next__, GATE.request)
    assert len(list(made)) == 1
    assert beyond((found, {"gateway": 9.5}), GATE) == [
        "the gateway takes 73.1 k instructions a request; instructions.json lets it take 72.0 k",
        "the gateway takes 9.5 k instructions a event; instructions.json lets it take 9.0 k",
    ]
    assert beyond(None, GATE) == ["entrepot was not counted"]


def test_without_a_gate_a_target_is_counted_once() -> None:
    assert least(iter([{"nginx": 29.7}]).__next__, OPEN.request) == {"nginx": 29.7}
