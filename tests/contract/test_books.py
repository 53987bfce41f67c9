"""What every Books does, wherever it keeps them: usage, readings, quarantine, open requests."""

from typing import Any

import msgspec
import pytest

from entrepot.core.charges import Reading
from entrepot.core.log_records import NOTHING_TOLD, Abandoned, Attempted, AttemptEnded
from entrepot.core.periods import HOUR
from entrepot.core.usage_event import payload_digest
from entrepot.ports.books import Books, MadeAttempt, MeteredUsage, OpenRequest, Quarantined
from tests.support.billing import MARCH, SERIES, admitted, insert, invoice, metered, usage

OTHER = msgspec.structs.replace(SERIES, contract="zeta@2024-01-01", customer="zeta")


def test_an_event_comes_back_equal(books: Books) -> None:
    events = [
        usage("0123456789abcdef0123456789abcdef"),
        usage("0123456789ABCDEF0123456789ABCDEF", meters={}),
        usage("7f0c9d5e-1f0a-4c57-9d2e-0a4b5c6d7e8f", meters={"images": 3, "seats": 0}),
        usage(
            "ü" * 32, source="estimated", outcome="gateway_lost", upstream="east", key="k", raw=b"\x00{}", corrects="x"
        ),
        usage(" 123456789abcdef0123456789abcdef0", meters={"output_tokens": -5}, corrects=""),
    ]
    assert insert(books, *events) == (events, [])
    assert list(books.events(0, MARCH * 2)) == sorted(events, key=lambda event: event.id)


def test_events_are_those_admitted_in_a_window(books: Books) -> None:
    times = [MARCH - 1, MARCH, MARCH + HOUR, MARCH + 2 * HOUR - 1, MARCH + 2 * HOUR]
    insert(books, *(usage(f"{9 - number}", at) for number, at in enumerate(times)))
    assert [event.id for event in books.events(MARCH, MARCH + 2 * HOUR)] == ["6", "7", "8"]
    assert list(books.events(MARCH + 3 * HOUR, MARCH + 9 * HOUR)) == []


def test_a_repeat_is_dropped_and_counted(books: Books) -> None:
    one, two = usage("a"), usage("b")
    assert insert(books, one) == ([one], [])
    assert insert(books, two, one) == ([two], [])
    assert insert(books, one, two) == ([], [])
    assert books.repeats() == 3
    assert len(list(books.events(0, MARCH * 2))) == 2


def test_a_repeat_within_a_batch_is_dropped(books: Books) -> None:
    one, two = usage("a"), usage("b")
    assert insert(books, one, one, two, one) == ([one, two], [])
    assert books.repeats() == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"meters": {"input_tokens": 11}},
        {"meters": {"output_tokens": 10}},
        {"admitted_at": MARCH + 1},
        {"finished_at": MARCH + 2_000_000},
        {"customer": "zeta"},
        {"project": "other"},
        {"tier": "batch"},
        {"source": "estimated"},
        {"outcome": "stop"},
        {"upstream": "east"},
        {"key": "k"},
        {"raw": b"{}"},
        {"corrects": "b"},
        {"corrects": ""},
    ],
)
def test_the_same_id_with_other_content_is_a_conflict(books: Books, changes: dict[str, Any]) -> None:
    first, second = usage("a"), usage("a", **changes)
    assert insert(books, first) == ([first], [])
    series = msgspec.structs.replace(SERIES, customer=second.customer, project=second.project, tier=second.tier)
    with books.transaction():
        assert books.insert_events([metered(second, series)]) == ([], [second])
    assert books.repeats() == 0


def test_a_conflict_within_a_batch_goes_against_the_first(books: Books) -> None:
    first, second = usage("a"), usage("a", meters={"input_tokens": 1})
    assert insert(books, first, second, first) == ([first], [second])


def test_the_order_of_meters_does_not_matter(books: Books) -> None:
    one = usage("a", meters={"output_tokens": 2, "input_tokens": 1})
    same = usage("a", meters={"input_tokens": 1, "output_tokens": 2})
    insert(books, one)
    assert insert(books, same) == ([], [])
    assert list(books.events(0, MARCH * 2)) == [same]


def test_the_terms_an_event_was_metered_under_are_not_its_content(books: Books) -> None:
    event = usage("a")
    insert(books, event)
    later = msgspec.structs.replace(SERIES, price_version="list@2024-02-01")
    with books.transaction():
        assert books.insert_events([metered(event, later)]) == ([], [])


def test_many_events_with_repeats_all_over(books: Books) -> None:
    first = [usage(f"{number:032x}", MARCH + number) for number in range(0, 3000, 2)]
    both = [usage(f"{number:032x}", MARCH + number) for number in range(3000)]
    insert(books, *first)
    new, conflicts = insert(books, *both)
    assert [event.id for event in new] == [f"{number:032x}" for number in range(1, 3000, 2)]
    assert (conflicts, books.repeats()) == ([], 1500)


def test_latest_admission(books: Books) -> None:
    assert books.latest_admission() is None
    series = msgspec.structs.replace(OTHER, price_version="special@eu@2024-02-01")
    with books.transaction():
        books.insert_events([metered(usage(str(at), MARCH + at)) for at in (5, HOUR + 3, HOUR + 9, HOUR + 1)])
        books.insert_events([metered(usage("z", MARCH + 7, customer="zeta"), series)])
    assert books.latest_admission() == MARCH + HOUR + 9
    assert books.latest_admission(customer="zeta") == MARCH + 7
    assert books.latest_admission(book="list") == MARCH + HOUR + 9
    assert books.latest_admission(book="special@eu") == MARCH + 7
    assert books.latest_admission(book="special") is None
    assert books.latest_admission(customer="acme", book="special@eu") is None


def test_latest_admission_of_who_has_been_away(books: Books) -> None:
    """Given hours in which only others used anything, and some in which nobody did."""
    with books.transaction():
        books.insert_events([metered(usage("z", MARCH + 7, customer="zeta"), OTHER)])
        books.insert_events([metered(usage("y", MARCH + 5, customer="zeta", meters={}), OTHER)])
        books.insert_events([metered(usage(str(hour), MARCH + hour * HOUR)) for hour in (1, 2, 30, 31)])
    assert books.latest_admission(customer="zeta") == MARCH + 7
    assert books.latest_admission(customer="nobody") is None


def test_latest_admission_when_a_month_cuts_the_hour(books: Books) -> None:
    """The later window holds the earlier event."""
    cut = MeteredUsage(OTHER, MARCH + HOUR // 2, usage("a", MARCH + HOUR // 2 + 1, customer="zeta"))
    with books.transaction():
        books.insert_events([cut, metered(usage("b", MARCH + HOUR - 1))])
    assert books.latest_admission() == MARCH + HOUR - 1


def test_readings_are_posted_and_invoiced_once(books: Books) -> None:
    key, output = (SERIES, "input_tokens", MARCH), (SERIES, "output_tokens", MARCH)
    with books.transaction():
        books.add_readings({key: 10, output: 3, (SERIES, "input_tokens", MARCH + HOUR): 1})
        books.add_readings({key: 5, (OTHER, "input_tokens", MARCH): 7})
        posted = list(books.unposted_readings(MARCH + 1, 1000))
        assert posted == [
            Reading(SERIES, "input_tokens", MARCH, 15),
            Reading(SERIES, "output_tokens", MARCH, 3),
            Reading(OTHER, "input_tokens", MARCH, 7),
        ]
        assert books.uninvoiced_readings(SERIES.contract, MARCH + HOUR) == []
        books.mark_posted(posted)
        assert list(books.unposted_readings(MARCH + 1, 1000)) == []
        assert books.uninvoiced_readings(SERIES.contract, MARCH) == []
        due = books.uninvoiced_readings(SERIES.contract, MARCH + HOUR)
        assert due == posted[:2]
        books.issue(invoice("2024-03-000001"))
        books.mark_invoiced([due], "2024-03-000001")
        assert books.uninvoiced_readings(SERIES.contract, MARCH + HOUR) == []
        books.add_readings({key: -4})
        assert list(books.unposted_readings(MARCH + 1, 1000)) == [Reading(SERIES, "input_tokens", MARCH, -4)]


def test_what_is_not_invoiced_is_told_from_its_oldest_hour_whether_it_is_posted_or_not(books: Books) -> None:
    first, second = ((SERIES, "input_tokens", MARCH + hour * HOUR) for hour in range(2))
    late = (msgspec.structs.replace(SERIES, tier="batch"), "input_tokens", MARCH + 9 * HOUR)

    def post() -> None:
        books.mark_posted(books.unposted_readings(MARCH * 2, 1000))

    with books.transaction():
        assert books.uninvoiced_since() == {}
        books.add_readings({second: 10, late: 1})
        assert books.uninvoiced_since() == {SERIES.contract: MARCH + HOUR}
        post()
        assert books.uninvoiced_since() == {SERIES.contract: MARCH + HOUR}
        books.add_readings({first: 3, (OTHER, "input_tokens", MARCH): 7})
        assert books.uninvoiced_since() == {SERIES.contract: MARCH, OTHER.contract: MARCH}
        post()
        books.issue(invoice("2024-03-000001"))
        books.mark_invoiced([books.uninvoiced_readings(SERIES.contract, MARCH + 2 * HOUR)], "2024-03-000001")
        assert books.uninvoiced_since() == {SERIES.contract: late[2], OTHER.contract: MARCH}
        books.add_readings({second: 5})  # Behind the invoice,
        assert books.uninvoiced_since()[SERIES.contract] == MARCH + HOUR
        post()
        books.add_readings({second: -5})  # and taken back.
        assert books.uninvoiced_since()[SERIES.contract] == late[2]


def test_enough_unposted_readings_end_with_a_contract(books: Books) -> None:
    wanted = {
        (msgspec.structs.replace(SERIES, contract=name), "input_tokens", MARCH + hour * HOUR): 1
        for name in ("a", "b", "c")
        for hour in range(4)
    }
    with books.transaction():
        books.add_readings(wanted)
        for enough, whole in ((1, 4), (3, 4), (4, 8), (7, 8), (8, 12), (99, 12)):
            assert len(list(books.unposted_readings(MARCH * 2, enough))) == whole


def test_a_recovery_point_stands_until_it_is_taken_away(books: Books) -> None:
    with books.transaction():
        assert books.recovery_point() is None
        for point in ("", "acme@2024-01-01", "zeta@2024-01-01"):
            books.save_recovery_point(point)
            assert books.recovery_point() == point
        books.save_recovery_point(None)
        assert books.recovery_point() is None


def test_readings_may_be_marked_while_they_are_walked(books: Books) -> None:
    """Enough contracts and hours that the walk goes on long after the first are marked."""
    wanted = {}
    for number in range(40):
        series = msgspec.structs.replace(SERIES, contract=f"c{number:02d}")
        wanted.update({(series, "input_tokens", MARCH + hour * HOUR): number + 1 for hour in range(200)})
    with books.transaction():
        books.add_readings(wanted)
        seen = []
        for reading in books.unposted_readings(MARCH * 2, 10**6):
            books.mark_posted([reading])
            seen.append(reading)
        assert list(books.unposted_readings(MARCH * 2, 10**6)) == []
    assert {(item.series, item.meter, item.hour): item.quantity for item in seen} == wanted
    assert seen == sorted(seen, key=lambda item: (item.series.contract, item.hour))


def test_quarantine_keeps_each_content_once(books: Books) -> None:
    one, other = usage("a", raw=b"{"), usage("a", meters={"x": 1})
    items = [Quarantined(one, "invalid", "why"), Quarantined(other, "unpriced", "no price")]
    with books.transaction():
        books.quarantine(items)
        books.quarantine([Quarantined(one, "invalid", "another reason")])
    assert sorted(books.quarantined(), key=lambda item: item.kind) == items


def test_quarantine_is_released_in_pieces(books: Books) -> None:
    events = [usage(name) for name in "abcde"]
    with books.transaction():
        books.quarantine([Quarantined(event, "unpriced", "no price") for event in events])
        books.quarantine([Quarantined(usage("x"), "invalid", "broken")])
        first = books.release_quarantine("unpriced", limit=2)
        books.quarantine([Quarantined(event, "unpriced", "still none") for event in first])
        behind = (first[-1].id, payload_digest(first[-1]))
        assert books.release_quarantine("unpriced", behind, 10) == events[2:]
    assert first == events[:2]
    assert [item.reason for item in books.quarantined()] == ["still none", "still none", "broken"]


def test_a_request_is_open_until_its_usage_is_known(books: Books) -> None:
    with books.transaction():
        books.open_request(admitted("b", MARCH + 5))
        books.open_request(admitted("a", MARCH + 9))
        books.open_request(admitted("a", MARCH + 1))
    assert [item.admitted.id for item in books.open_requests(given_up=False)] == ["a", "b"]
    assert books.oldest_open() == MARCH + 5
    with books.transaction():
        books.close_requests(["b", "unknown"])
    under_way = (MadeAttempt("a", 1, MARCH + 9, "east"),)
    assert books.open_requests(given_up=False) == [OpenRequest(admitted("a", MARCH + 9), under_way=under_way)]
    insert(books, usage("c"))
    with books.transaction():
        books.quarantine([Quarantined(usage("d"), "unpriced", "no price")])
        books.open_request(admitted("c"))
        books.open_request(admitted("d"))
        books.close_requests(["a"])
    assert books.oldest_open() is None


def test_progress_only_rises(books: Books) -> None:
    with books.transaction():
        books.open_request(admitted("a"))
        books.note_progress([("a", 9)])
        books.note_progress([("a", 4)])
        books.note_progress([("unknown", 4)])
    assert [item.output_tokens for item in books.open_requests(given_up=False)] == [9]


def test_the_first_word_about_an_abandoned_request_stands(books: Books) -> None:
    first = Abandoned(id="a", at=MARCH, outcome="client_left", answered=True, output_tokens=3)
    with books.transaction():
        books.open_request(admitted("a"))
        books.give_up(first)
        books.give_up(msgspec.structs.replace(first, output_tokens=99))
        books.give_up(msgspec.structs.replace(first, id="unknown"))
        books.lose_instance("one", MARCH + 1)
    assert books.open_requests(given_up=False) == []
    assert [item.given_up for item in books.open_requests(given_up=True)] == [first]


def test_a_lost_instance_gives_up_its_own_requests(books: Books) -> None:
    with books.transaction():
        books.open_request(admitted("a", instance="one"))
        books.open_request(admitted("b", instance="one"))
        books.open_request(admitted("c", instance="two"))
        books.note_progress([("b", 4)])
        books.lose_instance("one", MARCH + 1)
    assert [item.admitted.id for item in books.open_requests(given_up=False)] == ["c"]
    assert [item.given_up for item in books.open_requests(given_up=True)] == [
        Abandoned(id="a", at=MARCH + 1, outcome="gateway_lost", answered=False, output_tokens=0),
        Abandoned(id="b", at=MARCH + 1, outcome="gateway_lost", answered=True, output_tokens=4),
    ]


def test_attempts_are_kept_beside_their_request_whatever_comes_first(books: Books) -> None:
    second = Attempted(id="a", number=2, at=MARCH + 3, upstream="west")
    ended = AttemptEnded(id="a", number=1, began_at=MARCH, at=MARCH + 2, upstream="east", outcome="refused", status=503)
    with books.transaction():
        books.begin_attempt(second)
        books.end_attempt(ended)
        books.end_attempt(msgspec.structs.replace(ended, status=500))
        books.begin_attempt(msgspec.structs.replace(second, upstream="north"))
        books.end_attempt(msgspec.structs.replace(ended, id="b", number=2))
    assert books.attempts(["a", "c"]) == [
        MadeAttempt("a", 1, MARCH, "east", ended),
        MadeAttempt("a", 2, MARCH + 3, "west", None),
    ]
    told = msgspec.structs.replace(ended, meters={"input_tokens": 1}, raw=b"{}")
    with books.transaction():
        books.end_attempt(told)
        books.end_attempt(ended)
    assert books.attempts(["a"])[0].ended == told


def test_of_which_attempts_nobody_knows_what_they_used(books: Books) -> None:
    """Not of refused ones, of those under way, of reported ones, and of those whose upstream was asked once more."""
    broken = AttemptEnded(id="b", number=2, began_at=MARCH, at=MARCH, upstream="east", outcome="broken")
    refused = msgspec.structs.replace(broken, id="c", outcome="refused")
    told = msgspec.structs.replace(broken, id="d", raw=b"{}")
    nothing = msgspec.structs.replace(broken, id="e", raw=NOTHING_TOLD)
    again = msgspec.structs.replace(broken, id="f", number=1)
    first = msgspec.structs.replace(broken, id="a")
    with books.transaction():
        books.begin_attempt(Attempted(id="b", number=3, at=MARCH, upstream="west"))
        books.begin_attempt(Attempted(id="f", number=2, at=MARCH, upstream="east"))
        for ended in (broken, refused, told, nothing, again, first):
            books.end_attempt(ended)
    assert books.untold_attempts("east", 9) == [first, broken]
    assert books.untold_attempts("east", 1) == [first]
    assert books.untold_attempts("west", 9) == []
    with books.transaction():
        books.end_attempt(msgspec.structs.replace(first, raw=NOTHING_TOLD))
        books.end_attempt(msgspec.structs.replace(broken, raw=b"{}"))
        books.end_attempt(msgspec.structs.replace(nothing, raw=b"{}"))
    assert books.untold_attempts("east", 9) == []
    assert [item.ended.raw for item in books.attempts(["a", "e"]) if item.ended] == [NOTHING_TOLD, b"{}"]


def test_an_open_request_is_where_its_last_attempt_is(books: Books) -> None:
    ended = AttemptEnded(id="a", number=1, began_at=MARCH, at=MARCH, upstream="east", outcome="broken")
    with books.transaction():
        books.open_request(admitted("a"))
        books.end_attempt(ended)
    assert [item.upstream for item in books.open_requests(given_up=False)] == [""]
    with books.transaction():
        books.begin_attempt(Attempted(id="a", number=2, at=MARCH, upstream="west"))
    assert [item.upstream for item in books.open_requests(given_up=False)] == ["west"]
    with books.transaction():
        books.end_attempt(msgspec.structs.replace(ended, number=2, upstream="west"))
    assert [item.upstream for item in books.open_requests(given_up=False)] == [""]
