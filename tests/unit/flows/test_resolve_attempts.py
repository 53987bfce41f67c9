"""Attempts beside the one that a request is charged for: what their upstreams are asked, and what is kept of it."""

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.core.catalog import Upstream
from entrepot.core.log_records import NOTHING_TOLD, Attempted, AttemptEnded, InstanceLost, LogRecord, UsageRecorded
from entrepot.core.periods import SECOND
from entrepot.core.upstream_rules import AbortRule, UpstreamRules
from entrepot.core.usage_event import AttemptOutcome, UsageEvent
from entrepot.flows.resolve_usage import ATTEMPTS_AT_ONCE, GRACE_US, PATIENCE_US, resolve_usage
from entrepot.ports.books import Books
from entrepot.ports.upstream_usage import ServedUsage
from entrepot.workers import fold
from tests.support.billing import MARCH, ListLog, admitted, applied, prices, usage, version, world

ENDED = MARCH + 5 * SECOND
SERVED = b'{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}'
METERS = {"cached_input_tokens": 4, "input_tokens": 8, "output_tokens": 5}
SAID = ServedUsage("finished", SERVED)


class Told:
    """Upstreams that say what they were told to, by their names; every question is remembered."""

    def __init__(self, **answers: ServedUsage | None) -> None:
        self._answers = answers
        self.asked: list[tuple[str, str]] = []

    def served(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """See ports.upstream_usage."""
        self.asked.append((upstream.id, request_id))
        return self._answers.get(upstream.id)


class Office:
    """A log and its books."""

    def __init__(self, *records: LogRecord, rule: AbortRule = "cancel") -> None:
        upstreams = [
            Upstream(
                id=name, kind="openai", models={"m": "m"}, base_url=f"https://{name}.example/v1",
                usage_lookup=name != "plain", rules=UpstreamRules(on_client_abort=rule),
            )
            for name in ("east", "west", "plain")
        ]  # fmt: skip
        table = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))
        self.log = ListLog([applied(world(version(table), upstreams=upstreams)), *records])
        self.books = open_books(":memory:")
        fold(self.books, self.log)

    def resolve(self, told: Told, now: int = ENDED) -> list[LogRecord]:
        """What is appended, and folded."""
        before = len(self.log.records)
        count = resolve_usage(self.books, self.log, told, now)
        assert count == len(self.log.records) - before
        fold(self.books, self.log)
        return self.log.records[before:]


def outran(outcome: AttemptOutcome = "outrun", upstream: str = "east", name: str = "a") -> list[LogRecord]:
    """A request that west answered, and its attempt elsewhere that ended without a word of what it used."""
    return [
        admitted(name, upstream=upstream),
        Attempted(name, 2, MARCH, "west"),
        AttemptEnded(name, 1, MARCH, ENDED, upstream, outcome),
        UsageRecorded(usage(name, upstream="west")),
    ]


def lost_in_a_race() -> list[LogRecord]:
    """A request whose gateway was lost while two upstreams were at it."""
    return [admitted("a"), Attempted("a", 2, MARCH + SECOND, "west"), InstanceLost("one", ENDED)]


def used(books: Books) -> list[AttemptEnded]:
    """What partners are owed for beside usage."""
    return [attempt for _, attempt in books.ended_attempts(0, ENDED)]


@pytest.mark.parametrize("outcome", ["silent", "broken", "unusable", "unreachable", "outrun", "client_left"])
def test_what_an_attempt_used_is_asked_and_added(outcome: AttemptOutcome) -> None:
    office, told = Office(*outran(outcome)), Told(east=SAID)
    [ended] = office.resolve(told)
    assert ended == AttemptEnded("a", 1, MARCH, ENDED, "east", outcome, meters=METERS, raw=SERVED)
    assert used(office.books) == [ended]
    assert office.resolve(told) == []
    assert told.asked == [("east", "a")], "it is known, and the one that answered was never a question"


def test_a_refusal_is_the_upstreams_own_word() -> None:
    told = Told(east=SAID)
    assert Office(*outran("refused")).resolve(told) == []
    assert told.asked == []


def test_an_upstream_without_a_lookup_is_not_asked() -> None:
    told = Told(plain=SAID)
    assert Office(*outran(upstream="plain")).resolve(told) == []
    assert told.asked == []


def test_a_silent_upstream_is_asked_once_a_round_for_as_long_as_it_takes() -> None:
    office, told = Office(*outran(name="a"), *outran(name="b")), Told()
    assert office.resolve(told) == []
    assert office.resolve(told, ENDED + 2 * PATIENCE_US) == []
    assert told.asked == [("east", "a")] * 2
    assert len(office.resolve(Told(east=SAID), ENDED + 2 * PATIENCE_US)) == 2


@pytest.mark.parametrize(("state", "wait"), [("running", PATIENCE_US), ("unknown", GRACE_US)])
def test_what_may_still_change_is_waited_for(state: str, wait: int) -> None:
    office, told = Office(*outran()), Told(east=ServedUsage(state))  # type: ignore[arg-type]
    assert office.resolve(told, ENDED + wait - 1) == []
    [ended] = office.resolve(told, ENDED + wait)
    assert ended == AttemptEnded("a", 1, MARCH, ENDED, "east", "outrun", raw=NOTHING_TOLD)
    assert office.resolve(told, ENDED + wait) == [], "it was asked"
    assert used(office.books) == []


def test_what_was_cut_is_known_as_far_as_it_went() -> None:
    office = Office(*outran())
    office.resolve(Told(east=ServedUsage("cancelled", SERVED)))
    assert [attempt.meters for attempt in used(office.books)] == [METERS]


def test_an_account_that_contradicts_itself_is_kept_without_meters() -> None:
    office = Office(*outran())
    raw = b'{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3}'
    office.resolve(Told(east=ServedUsage("finished", raw)))
    assert [(attempt.meters, attempt.raw) for attempt in used(office.books)] == [({}, raw)]


def test_a_gateway_lost_in_a_race_leaves_both_upstreams_to_be_asked() -> None:
    office = Office(*lost_in_a_race())
    told = Told(east=SAID, west=ServedUsage("cancelled", b'{"prompt_tokens":12,"completion_tokens":1}'))
    [ended, recorded] = office.resolve(told)
    assert ended == AttemptEnded("a", 1, MARCH, ENDED, "east", "gateway_lost")
    assert isinstance(recorded, UsageRecorded)
    assert (recorded.event.upstream, recorded.event.meters) == ("west", {"input_tokens": 12, "output_tokens": 1})
    office.resolve(told)
    assert [(attempt.upstream, attempt.meters) for attempt in used(office.books)] == [("east", METERS)]
    assert told.asked == [("west", "a"), ("east", "a")]


def test_saying_it_again_before_it_is_folded_changes_nothing() -> None:
    office, told = Office(*lost_in_a_race()), Told(east=SAID, west=SAID)
    records = []
    for _ in range(2):
        said = ListLog()
        resolve_usage(office.books, said, told, ENDED)
        records.append(said.records)
    assert records[0] == records[1]
    office.log.append(records[0] + records[1])
    fold(office.books, office.log)
    assert (office.books.repeats(), office.books.quarantined()) == (1, [])
    assert office.resolve(told) != []
    assert office.resolve(told) == []


def test_what_no_bill_gives_away_is_known_where_its_upstream_can_be_asked() -> None:
    records: list[LogRecord] = [admitted("a"), InstanceLost("one", ENDED)]
    office, told = Office(*records, rule="no_bill"), Told(east=SAID)
    [ended, recorded] = office.resolve(told)
    assert isinstance(recorded, UsageRecorded)
    assert recorded.event.meters == {}
    assert ended == AttemptEnded("a", 1, MARCH, ENDED, "east", "gateway_lost")
    office.resolve(told)
    assert [attempt.meters for attempt in used(office.books)] == [METERS]


def test_an_upstream_is_asked_about_many_in_pieces() -> None:
    names = [f"{number:03d}" for number in range(ATTEMPTS_AT_ONCE + 1)]
    office, told = Office(*(record for name in names for record in outran(name=name))), Told(east=SAID)
    assert [len(office.resolve(told)) for _ in range(3)] == [ATTEMPTS_AT_ONCE, 1, 0]
    assert told.asked == [("east", name) for name in names]


def test_a_request_that_costs_nothing_asks_no_upstream() -> None:
    """Its attempts came to nothing; each is asked for itself."""
    ended = AttemptEnded("a", 1, MARCH, ENDED, "east", "broken")
    office, told = Office(admitted("a"), ended, InstanceLost("one", ENDED)), Told(east=SAID)
    records = office.resolve(told)
    [event] = [record.event for record in records if isinstance(record, UsageRecorded)]
    assert isinstance(event, UsageEvent)
    assert event.meters == {}
    assert [attempt.meters for attempt in used(office.books)] == [METERS]
    assert told.asked == [("east", "a")]
