"""Answers that came without usage from upstreams that keep an account: what is asked, what is booked, what waits."""

from itertools import permutations

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.core.catalog import Upstream
from entrepot.core.log_records import InstanceLost, LogRecord, Marked, MonthClosed, UsageRecorded, UsageUntold
from entrepot.core.periods import HOUR, SECOND
from entrepot.core.usage_event import UsageEvent
from entrepot.flows import resolve_usage as flow
from entrepot.flows.resolve_usage import GRACE_US, PATIENCE_US, resolve_usage
from entrepot.ports.books import Books
from entrepot.ports.upstream_usage import ServedUsage
from entrepot.workers import fold
from tests.support.billing import APRIL, MARCH, ListLog, admitted, applied, prices, usage, version, world

ENDED = MARCH + SECOND  # When the answer did.
SERVED = b'{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":4}}'
SAID = ServedUsage("finished", SERVED)
METERS = {"cached_input_tokens": 4, "input_tokens": 8, "output_tokens": 5}
COUNTED = {"input_tokens": 7, "output_tokens": 3}
PRICES = ("input_tokens", "cached_input_tokens", "output_tokens", "web_search_calls")


class Told:
    """An upstream that says what it is told to; every question is remembered."""

    def __init__(self, **answers: ServedUsage | None) -> None:
        self.answers = answers
        self.asked: list[str] = []

    def served(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """See ports.upstream_usage."""
        assert upstream.id == "east"
        self.asked.append(request_id)
        return self.answers.get(request_id, self.answers.get("each"))


def event(name: str = "a", **changes: object) -> UsageEvent:
    """As the gateway counted it."""
    fields = {"meters": COUNTED, "source": "counted", "outcome": "stop", "upstream": "east", "key": "key-1"}
    return usage(name, MARCH, **fields | changes)


def declared(*, lookup: bool = True) -> LogRecord:
    east = Upstream("east", "openai", {"m": "m"}, "https://east.example/v1", usage_lookup=lookup)
    table = prices(*(("m", meter, "1") for meter in PRICES))
    return applied(world(version(table), upstreams=(east,)))


class Office:
    """Books, with the log that they are folded from."""

    def __init__(self, *records: LogRecord, lookup: bool = True) -> None:
        self.books: Books = open_books(":memory:")
        self.log = ListLog([declared(lookup=lookup), *records])
        fold(self.books, self.log)

    def resolve(self, told: Told, now: int = ENDED) -> list[UsageEvent]:
        """What is recorded now; it is folded, too."""
        before = len(self.log.records)
        assert resolve_usage(self.books, self.log, told, now) == len(self.log.records) - before
        fold(self.books, self.log)
        return [record.event for record in self.log.records[before:] if isinstance(record, UsageRecorded)]

    def booked(self) -> list[UsageEvent]:
        return list(self.books.events(0, 2**60))


def waiting(*names: str, lookup: bool = True) -> Office:
    return Office(*(UsageUntold(event(name)) for name in names), lookup=lookup)


def reported(name: str = "a", **changes: object) -> UsageEvent:
    return event(name, **{"meters": METERS, "source": "reported", "raw": SERVED, **changes})


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_the_upstreams_account_is_booked_and_not_what_was_counted(state: str) -> None:
    office, told = waiting("a"), Told(a=ServedUsage(state, SERVED))  # type: ignore[arg-type]
    assert office.booked() == []
    assert office.resolve(told) == [reported()] == office.booked()
    assert (told.asked, office.resolve(told), told.asked) == (["a"], [], ["a"])


def test_what_is_charged_beside_tokens_stays() -> None:
    calls = (("web_search_calls", 2),)
    office = Office(UsageUntold(event(meters=COUNTED | dict(calls)), calls))
    assert office.resolve(Told(a=SAID)) == [reported(meters=METERS | dict(calls))]


def test_an_account_may_put_right_what_did_not_sum_up() -> None:
    office = Office(UsageUntold(event(meters={}, source="reported", raw=b'{"prompt_tokens":1,"total_tokens":9}')))
    assert office.resolve(Told(a=SAID)) == [reported()]
    assert office.books.quarantined() == []


@pytest.mark.parametrize("raw", [b"", b"{", b'{"prompt_tokens":1,"completion_tokens":1,"total_tokens":3}'])
def test_an_account_without_usage_that_sums_up_leaves_it_at_what_was_recorded(raw: bytes) -> None:
    assert waiting("a").resolve(Told(a=ServedUsage("finished", raw))) == [event()]
    nonsense = event(meters={}, source="reported", raw=b'{"prompt_tokens":-1}')
    office = Office(UsageUntold(nonsense))
    assert office.resolve(Told(a=ServedUsage("finished", raw))) == [nonsense]
    assert [item.kind for item in office.books.quarantined()] == ["invalid"]
    assert office.books.oldest_open() is None


@pytest.mark.parametrize(
    ("answer", "waits_us"),
    [(None, PATIENCE_US), (ServedUsage("running", SERVED), PATIENCE_US), (ServedUsage("unknown"), GRACE_US)],
)
def test_it_is_booked_as_counted_once_the_upstream_had_its_time(answer: ServedUsage | None, waits_us: int) -> None:
    office, told = waiting("a"), Told(a=answer)
    assert office.resolve(told, ENDED + waits_us - 1) == []
    assert office.resolve(told, ENDED + waits_us) == [event()]
    assert told.asked == ["a", "a"]


def test_an_upstream_that_may_not_be_asked_any_more_is_not_waited_for() -> None:
    told = Told(a=SAID)
    assert waiting("a", lookup=False).resolve(told) == [event()]
    gone = Office(UsageUntold(event(upstream="west")))
    assert gone.resolve(told) == [event(upstream="west")]
    assert told.asked == []


@pytest.mark.parametrize("also", [(), (InstanceLost("one", ENDED),)])
def test_it_is_known_with_its_admission_and_without_it(also: tuple[LogRecord, ...]) -> None:
    """A gateway that was killed behind its record, or whose record came late, lost nothing of it."""
    for records in ((admitted("a"), UsageUntold(event()), *also), (admitted("a"), *also, UsageUntold(event()))):
        assert Office(*records).resolve(Told(a=SAID)) == [reported()]
    assert Office(*also, UsageUntold(event())).resolve(Told(a=SAID)) == [reported()]


def test_repeats_change_nothing_and_never_open_it_again() -> None:
    office = Office(admitted("a"), UsageUntold(event()), UsageUntold(event()))
    office.resolve(Told(a=SAID))
    before = office.books.digest()
    office.log.append([admitted("a"), UsageUntold(event())])
    fold(office.books, office.log)
    assert office.books.digest() | {"state": ""} == before | {"state": ""}  # But for how far the log is read.
    assert office.books.open_requests(given_up=True) == []


def test_in_whatever_order_records_come_it_is_booked_once() -> None:
    records: list[LogRecord] = [admitted("a"), *[UsageUntold(event())] * 2, UsageRecorded(reported())]
    for order in permutations(records):
        for batch in (1, 4):
            office = Office()
            office.log.append(order)
            fold(office.books, office.log, batch=batch)
            assert office.booked() == [reported()]
            assert office.books.oldest_open() is None
            assert office.books.quarantined() == []


def test_asking_again_before_it_is_folded_says_the_same() -> None:
    office, told = waiting("a", "b"), Told(a=SAID)
    log = ListLog()
    for _ in range(2):
        resolve_usage(office.books, log, told, ENDED + PATIENCE_US)
    office.log.append(log.records)
    fold(office.books, office.log)
    assert office.booked() == [reported("a"), event("b")]
    assert (office.books.repeats(), office.books.quarantined()) == (2, [])


def test_budgets_hold_what_their_gateway_counted_until_the_upstream_has_told() -> None:
    counted = (("acme", 70),)
    held = admitted("a", holds=(("acme", 900),))
    office = Office(held, UsageUntold(event(), (), "one", counted))
    assert office.books.held() == {"acme": {"one": 70}}
    office.resolve(Told(a=SAID))
    record = office.log.records[-1]
    assert record == UsageRecorded(reported(), "one", counted)
    assert office.books.held() == {}


def test_no_month_is_closed_over_it() -> None:
    office = waiting("a")
    office.log.append([Marked(APRIL + HOUR), MonthClosed(APRIL + 2 * HOUR, "2024-03")])
    fold(office.books, office.log)
    [closing] = office.books.closings("2024-03")
    assert closing.refused
    office.resolve(Told(a=SAID), APRIL + 3 * HOUR)
    office.log.append([Marked(APRIL + 4 * HOUR), MonthClosed(APRIL + 5 * HOUR, "2024-03")])
    fold(office.books, office.log)
    [invoice] = office.books.invoices("2024-03")
    assert sum(int(line.quantity) for line in invoice.lines) == sum(METERS.values())


def test_an_upstream_that_never_tells_does_not_hold_up_the_books_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked about are some of its answers in each round; of those that are left, what waited too long is as counted."""
    monkeypatch.setattr(flow, "ANSWERS_AT_ONCE", 2)
    monkeypatch.setattr(flow, "ANSWERS_WAITING_MAX", 4)
    names = [f"{number}" for number in range(6)]
    office, told = waiting(*names), Told(each=SAID)
    assert office.resolve(told) == [reported("0"), reported("1")]
    assert told.asked == ["0", "1"]
    office.log.append([UsageUntold(event(name)) for name in ("6", "7")])
    fold(office.books, office.log)
    late = office.resolve(told, ENDED + PATIENCE_US)
    assert late == [reported("2"), reported("3"), event("6"), event("7")]
    assert office.resolve(told, ENDED + PATIENCE_US) == [reported("4"), reported("5")]
