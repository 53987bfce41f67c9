"""Requests that nobody settled: what is asked, what is booked, what waits."""

from collections.abc import Sequence

import msgspec
import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.core.catalog import Upstream
from entrepot.core.log_records import Abandoned, Attempted, AttemptEnded, InstanceLost, LogRecord, UsageRecorded
from entrepot.core.periods import SECOND
from entrepot.core.upstream_rules import UpstreamRules
from entrepot.core.usage_event import Outcome, UsageEvent
from entrepot.flows.resolve_usage import GRACE_US, PATIENCE_US, resolve_usage
from entrepot.ports.books import Books
from entrepot.ports.upstream_usage import ServedUsage
from entrepot.workers import fold
from tests.support.billing import MARCH, ListLog, admitted, applied, prices, usage, version, world

GIVEN_UP = MARCH + 5 * SECOND
SERVED = b'{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}'
SAID = ServedUsage("finished", SERVED)


class Told:
    """Upstreams that say what they were told to; every question is remembered."""

    def __init__(self, **answers: ServedUsage | None) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str]] = []

    def served(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """See ports.upstream_usage."""
        self.asked.append((upstream.id, request_id))
        return self._answers.get(request_id)


def waiting(*ids: str, answered: bool = True, counted: int = 3, lookup: bool = True, upstream: str = "east") -> Books:
    """Books with open requests that were given up."""
    upstreams = (
        Upstream(id="east", kind="openai", models={"m": "m"}, base_url="https://east.example/v1", usage_lookup=lookup),
        Upstream(id="local", kind="llama_cpp", models={"m": "m"}),
    )
    records: list[LogRecord] = [
        applied(world(version(prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))), upstreams=upstreams))
    ]
    for name in ids:
        left = Abandoned(id=name, at=GIVEN_UP, outcome="client_left", answered=answered, output_tokens=counted)
        records += [admitted(name, upstream=upstream), left]
    books = open_books(":memory:")
    fold(books, ListLog(records))
    return books


def settled(books: Books, told: Told, now: int = GIVEN_UP) -> list[UsageEvent]:
    log = ListLog()
    assert resolve_usage(books, log, told, now) == len(log.records)
    return [record.event for record in log.records if isinstance(record, UsageRecorded)]


def expected(name: str = "a", **changes: object) -> UsageEvent:
    fields = {"finished_at": GIVEN_UP, "outcome": "client_left", "upstream": "east", "key": "key-1", **changes}
    return usage(name, MARCH, **fields)


@pytest.mark.parametrize(("holds", "instance"), [((("acme", 70), ("key-1", 7)), "one"), ((), "")])
def test_what_its_gateway_held_of_budgets_stays_counted(holds: tuple[tuple[str, int], ...], instance: str) -> None:
    books, log = open_books(":memory:"), ListLog()
    left = Abandoned(id="a", at=GIVEN_UP, outcome="client_left", answered=True, output_tokens=3)
    fold(books, ListLog([applied(world(version(()))), admitted("a", holds=holds), left]))
    assert resolve_usage(books, log, Told(a=SAID), GIVEN_UP + PATIENCE_US) == 1
    (record,) = log.records
    assert isinstance(record, UsageRecorded)
    assert (record.instance, record.counted) == (instance, holds)


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_the_upstreams_word_is_booked(state: str) -> None:
    told = Told(a=ServedUsage(state, SERVED))  # type: ignore[arg-type]
    meters = {"cached_input_tokens": 4, "input_tokens": 8, "output_tokens": 5}
    assert settled(waiting("a"), told) == [expected(meters=meters, raw=SERVED)]
    assert told.asked == [("east", "a")]


def test_a_local_upstream_is_asked_without_being_declared_to_answer() -> None:
    told = Told(a=SAID)
    assert [event.upstream for event in settled(waiting("a", upstream="local"), told)] == ["local"]


def test_what_runs_still_is_asked_again_until_patience_ends() -> None:
    told, books = Told(a=ServedUsage("running")), waiting("a")
    assert settled(books, told, GIVEN_UP + PATIENCE_US - 1) == []
    meters = {"input_tokens": 7, "output_tokens": 3}
    assert settled(books, told, GIVEN_UP + PATIENCE_US) == [expected(meters=meters, source="estimated")]


def test_a_silent_upstream_is_asked_once_a_round_and_waited_for() -> None:
    told, books = Told(), waiting("a", "b", "c")
    assert settled(books, told) == []
    assert told.asked == [("east", "a")]
    assert [event.source for event in settled(books, told, GIVEN_UP + PATIENCE_US)] == ["estimated"] * 3


def test_a_request_that_never_arrived_is_nothing() -> None:
    told = Told(a=ServedUsage("unknown"))
    books = waiting("a", answered=False, counted=0)
    assert settled(books, told, GIVEN_UP + GRACE_US - 1) == [], "it may still be on its way"
    assert settled(books, told, GIVEN_UP + GRACE_US) == [expected(meters={})]


def test_an_upstream_that_forgot_what_it_answered_is_not_believed() -> None:
    told = Told(a=ServedUsage("unknown"))
    assert settled(waiting("a"), told) == [expected(meters={"input_tokens": 7, "output_tokens": 3}, source="estimated")]


@pytest.mark.parametrize(("answered", "counted"), [(True, 0), (False, 1)])
def test_what_an_answer_had_begun_for_is_booked_though_the_upstream_denies_it(answered: bool, counted: int) -> None:
    books = waiting("a", answered=answered, counted=counted)
    meters = {"input_tokens": 7} | ({"output_tokens": counted} if counted else {})
    denied = Told(a=ServedUsage("unknown"))
    assert settled(books, denied) == [expected(meters=meters, source="estimated")]


def test_finished_without_a_usage_object_is_estimated() -> None:
    told = Told(a=ServedUsage("finished"))
    assert [event.source for event in settled(waiting("a"), told)] == ["estimated"]


@pytest.mark.parametrize("raw", [b"{", b'{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3}'])
def test_an_account_that_contradicts_itself_goes_to_quarantine(raw: bytes) -> None:
    books = waiting("a")
    (event,) = settled(books, Told(a=ServedUsage("finished", raw)))
    assert (event.meters, event.raw) == ({}, raw)
    fold_on(books, [UsageRecorded(event)])
    assert [item.kind for item in books.quarantined()] == ["invalid"]
    assert books.oldest_open() is None


def test_an_upstream_without_a_lookup_is_estimated_at_once() -> None:
    told = Told(a=SAID)
    assert settled(waiting("a", lookup=False), told) == [
        expected(meters={"input_tokens": 7, "output_tokens": 3}, source="estimated")
    ]
    assert told.asked == []


def test_nothing_came_back_nothing_is_billed_but_recorded() -> None:
    assert settled(waiting("a", lookup=False, answered=False, counted=0), Told()) == [
        expected(meters={}, source="estimated")
    ]


def test_an_upstream_that_was_taken_out_is_estimated() -> None:
    assert [event.source for event in settled(waiting("a", upstream="west"), Told(a=SAID))] == ["estimated"]


def test_the_greater_count_is_billed() -> None:
    """Progress was noted before the gateway was lost; what it counted last it could not say."""
    books = waiting("a", lookup=False, counted=0)
    with books.transaction():
        books.note_progress([("a", 40)])
    assert settled(books, Told())[0].meters == {"input_tokens": 7, "output_tokens": 40}


def test_settling_again_before_it_is_folded_says_the_same() -> None:
    books, told = waiting("a", "b"), Told(a=SAID, b=ServedUsage("unknown"))
    first = settled(books, told)
    assert settled(books, told) == first
    fold_on(books, [UsageRecorded(event) for event in (*first, *first)])
    assert books.oldest_open() is None
    assert (books.repeats(), books.quarantined()) == (2, [])
    assert settled(books, told) == []


def test_many_are_appended_in_pieces() -> None:
    names = [f"{number:03d}" for number in range(250)]
    log = PiecesLog()
    resolve_usage(waiting(*names, lookup=False), log, Told(), GIVEN_UP)
    assert log.pieces == [100, 100, 50]


class PiecesLog(ListLog):
    """A log that remembers how many records came at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[int] = []

    def append(self, records: Sequence[LogRecord]) -> None:
        """See ports.event_log."""
        self.pieces.append(len(records))


def fold_on(books: Books, records: Sequence[LogRecord]) -> None:
    """Folds records behind those that the books hold."""
    log = ListLog(records)
    with books.transaction():
        books.save_position(type(books.position())())
    fold(books, log)


def retried(*more: LogRecord) -> Books:
    """A request that went on from east, which refused it, and was given up when its gateway was lost."""
    books = waiting()
    refused = AttemptEnded(id="a", number=1, began_at=MARCH, at=MARCH, upstream="east", outcome="refused", status=503)
    fold_on(books, [admitted("a"), refused, *more, InstanceLost("one", GIVEN_UP)])
    return books


def test_the_upstream_of_the_last_attempt_is_asked() -> None:
    told = Told(a=SAID)
    books = retried(Attempted(id="a", number=2, at=MARCH, upstream="local"))
    (event,) = settled(books, told)
    assert told.asked == [("local", "a")]
    assert (event.upstream, event.meters["output_tokens"], event.outcome) == ("local", 5, "gateway_lost")


def test_a_request_whose_attempts_all_came_to_nothing_costs_nothing() -> None:
    told = Told(a=SAID)
    (event,) = settled(retried(), told)
    assert (event.meters, event.source, event.upstream) == ({}, "reported", "east")


@pytest.mark.parametrize(
    ("outcome", "billed"), [("client_left", False), ("gateway_lost", False), ("upstream_failed", True)]
)
def test_no_bill_is_for_answers_that_were_cut_on_our_side(outcome: Outcome, billed: bool) -> None:
    free = Upstream(
        id="free", kind="openai", models={"m": "m"}, base_url="https://free.example/v1",
        rules=UpstreamRules(on_client_abort="no_bill"),
    )  # fmt: skip
    books = open_books(":memory:")
    table = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))
    left = Abandoned(id="a", at=GIVEN_UP, outcome=outcome, answered=True, output_tokens=3)
    fold(books, ListLog([applied(world(version(table), upstreams=(free,))), admitted("a", upstream="free"), left]))
    (event,) = settled(books, Told())
    assert bool(event.meters) == billed


@pytest.mark.parametrize(
    ("admitted_at", "given_up_at", "billed"), [("priority", "default", "default"), ("priority", "", "priority")]
)
def test_the_tier_is_the_one_that_was_known_when_it_was_given_up(
    admitted_at: str, given_up_at: str, billed: str
) -> None:
    """Records from before it was said there have none, and go by the admission."""
    books = open_books(":memory:")
    table = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))
    begun = msgspec.structs.replace(admitted("a"), tier=admitted_at)
    left = Abandoned("a", GIVEN_UP, "client_left", answered=True, output_tokens=3, tier=given_up_at)
    fold(books, ListLog([applied(world(version(table))), begun, left]))
    (event,) = settled(books, Told())
    assert event.tier == billed
