"""A trace becomes usage once, however its file was cut, and every request finds somebody to pay for it."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from entrepot.core.catalog import Model, Partner
from entrepot.core.errors import BadInput
from entrepot.core.periods import DAY, HOUR, parse_instant
from entrepot.core.tenancy import Customer, Deployment, Project
from entrepot.core.usage_event import UsageEvent, faults, payload_digest
from entrepot.core.world import Operator, World
from entrepot.metering.trace_usage import BookedRows, Placing, Target, TraceBooking, find_targets
from entrepot.ports.usage_rows import TraceBatch, TraceRow

CHAT = Target("acme", "acme-search", "chat", "gpt-4")
OTHER = Target("zeta", "zeta-bot", "chat", "gpt-35-turbo", weight=3)
ONE = Placing(trace="azure", targets=(CHAT,))
TWO = Placing(trace="azure", targets=(CHAT, OTHER))
NS = 10**9


def row(at_s: int, tokens: int = 10, *, client: str = "", requests: int = 1) -> TraceRow:
    return TraceRow(at_s, at_s * NS, client, requests, tokens, 0, 2)


def test_a_row_becomes_the_usage_of_its_target() -> None:
    shifted = Placing(trace="mooncake", targets=(CHAT,), origin=0, shift_to=parse_instant("2024-03-01"), tier="batch")
    (event,) = booked(shifted, [TraceRow(2, 3 * NS, "", 1, 7322, 512, 490)]).events
    assert event.admitted_at == event.finished_at == parse_instant("2024-03-01T00:00:03Z")
    assert (event.customer, event.project, event.deployment) == ("acme", "acme-search", "chat")
    assert event.meters == {"cached_input_tokens": 512, "input_tokens": 6810, "output_tokens": 490}
    assert (event.model, event.tier, event.outcome) == ("gpt-4", "batch", "imported")
    assert faults(event) is None


def test_ids_begin_with_their_time_so_that_they_sort() -> None:
    ids = [event.id for event in booked(ONE, [row(at) for at in range(50)]).events]
    assert ids == sorted(ids)
    assert {len(event_id) for event_id in ids} == {32}


def test_identical_rows_are_different_requests_and_repeats_are_not() -> None:
    rows = [row(1), row(1), row(1, 11), row(1)]
    first, again = booked(ONE, rows), booked(ONE, rows)
    assert len({event.id for event in first.events}) == 4
    assert first == again


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2), st.sampled_from(["", "a", "b"])), max_size=25),
    st.data(),
)
def test_two_overlapping_cuts_are_the_whole_as_soon_as_each_run_is_whole_in_one(
    said: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    rows = [row(at, tokens, client=client) for at, tokens, client in sorted(said)]
    start = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(start, len(rows)))
    overlap = rows[start:end]
    before, behind = rows[:start], rows[end:]
    # A run reaching into both sides of the overlap is whole in neither cut: then, and only then, the files cannot tell.
    assume(not {one[1:] for one in before} & {one[1:] for one in behind})
    whole = contents(booked(TWO, rows).events)
    halves = contents([*booked(TWO, before + overlap).events, *booked(TWO, overlap + behind).events])
    assert halves == whole


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2)), max_size=12), st.data())
def test_parts_that_touch_are_the_whole_when_the_second_knows_the_first(
    said: list[tuple[int, int]], data: st.DataObject
) -> None:
    rows = [row(at, tokens) for at, tokens in sorted(said)]
    cut = data.draw(st.integers(0, len(rows)))
    second = TraceBooking(TWO)
    second.after(TraceBatch(rows[:cut]))
    parts = booked(TWO, rows[:cut]).events + second.book(TraceBatch(rows[cut:])).events
    assert contents(parts) == contents(booked(TWO, rows).events)
    assert len(contents(parts)) == len(rows)


def test_the_same_row_booked_otherwise_is_a_conflict_and_no_second_charge() -> None:
    placings = [
        ONE,
        Placing(trace="azure", targets=(CHAT,), shift_to=DAY),
        Placing(trace="azure", targets=(CHAT,), tier="batch"),
        Placing(trace="azure", targets=(OTHER,)),
    ]
    events = [booked(placing, [row(1)]).events[0] for placing in placings]
    assert len({event.id for event in events}) == 1
    assert len({payload_digest(event) for event in events}) == len(placings)


def test_another_trace_and_another_label_are_other_usage() -> None:
    placings = [ONE, Placing(trace="mooncake", targets=(CHAT,)), Placing(trace="azure", targets=(CHAT,), label="again")]
    assert len({booked(placing, [row(1)]).events[0].id for placing in placings}) == len(placings)


def test_the_shares_of_a_window_have_ids_of_their_own() -> None:
    events = booked(TWO, [row(1, requests=100)]).events
    assert {event.customer for event in events} == {"acme", "zeta"}
    assert len({event.id for event in events}) == 2


def test_a_disorder_in_the_part_before_is_not_its_successors_fault() -> None:
    second = TraceBooking(ONE)
    second.after(TraceBatch([row(5), row(4), row(6)]))
    assert len(second.book(TraceBatch([row(6)])).events) == 1


def test_rows_are_spread_by_weight_and_the_same_way_each_time() -> None:
    rows = [row(at) for at in range(4000)]
    spread = Counter(event.customer for event in booked(TWO, rows).events)
    assert spread["zeta"] + spread["acme"] == 4000
    assert 2850 < spread["zeta"] < 3150
    assert booked(TWO, rows[1000:]).events == booked(TWO, rows).events[1000:]


def test_a_client_stays_with_one_customer() -> None:
    for client in "abcdefgh":
        customers = {event.customer for event in booked(TWO, [row(at, client=client) for at in range(9)]).events}
        assert len(customers) == 1


@given(st.integers(0, 10**6), st.lists(st.integers(1, 50), min_size=1, max_size=9))
def test_a_window_of_requests_is_divided_without_loss(requests: int, weights: list[int]) -> None:
    targets = tuple(Target(f"c{index}", "p", "d", "m", weight) for index, weight in enumerate(weights))
    placing = Placing(trace="burstgpt", targets=targets, per_request=(100, 7))
    events = booked(placing, [TraceRow(2, HOUR * 1000, "", requests, None, 0, None)]).events
    assert sum(event.meters["input_tokens"] for event in events) == 100 * requests
    assert sum(event.meters["output_tokens"] for event in events) == 7 * requests
    for event, weight in ((event, weights[int(event.customer[1:])]) for event in events):
        assert abs(event.meters["output_tokens"] // 7 - requests * weight / sum(weights)) <= 1


def test_a_trace_of_counts_needs_tokens() -> None:
    with pytest.raises(BadInput, match="counts requests and not tokens; give --tokens-per-request"):
        booked(ONE, [TraceRow(2, 0, "", 5, None, 0, None)])


def test_rows_that_cannot_be_booked_are_faults() -> None:
    rows = [row(5), row(4), row(6), TraceRow(9, 7 * NS, "", 10**9, 10**9, 0, 1)]
    result = booked(ONE, rows)
    assert len(result.events) == 2
    assert [(fault.line, fault.reason.split(";")[0]) for fault in result.faults] == [
        (4, "is earlier than the row before it"),
        (9, "counts more tokens than one row can mean"),
    ]
    early = booked(Placing(trace="azure", targets=(CHAT,), origin=DAY), [row(5)])
    assert early.faults[0].reason.startswith("lies before 1970")


def test_each_client_has_its_own_time() -> None:
    rows = [row(5, client="a"), row(1, client="b"), row(6, client="a"), row(2, client="b")]
    assert booked(ONE, rows).faults == []


WORLD = World(
    operator=Operator("Contoso", "USD"),
    partners=(Partner("own", "Own"),),
    models=(Model("gpt-4", "0613", "own", 8192, "general"),),
    customers=(Customer("acme", "Acme"),),
    projects=(Project("acme-search", "acme"),),
    deployments=(Deployment("chat", "acme-search", "gpt-4"),),
)


def test_targets_are_found_by_name() -> None:
    assert find_targets(WORLD, {"acme-search/chat": 5}) == (Target("acme", "acme-search", "chat", "gpt-4", 5),)


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        ({"acme-search/draw": 1}, "declares no deployment acme-search/draw; write project/deployment"),
        ({"acme-search/chat": 0}, "the weight of acme-search/chat is 0; it must be at least 1"),
        ({}, "declares no deployments that a trace could be booked on"),
    ],
)
def test_targets_that_do_not_exist_are_refused(weights: dict[str, int], reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        find_targets(WORLD, weights)


def booked(placing: Placing, rows: list[TraceRow]) -> BookedRows:
    return TraceBooking(placing).book(TraceBatch(rows))


def contents(events: list[UsageEvent]) -> dict[str, UsageEvent]:
    """The events as the books keep them: one for each id, and the same one."""
    kept: dict[str, UsageEvent] = {}
    for event in events:
        assert kept.setdefault(event.id, event) == event
    return kept
