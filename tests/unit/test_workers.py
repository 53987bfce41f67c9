"""The fold, record kind by record kind; and the loop around it."""

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.core.log_records import (
    Abandoned,
    InstanceLost,
    KeyIssued,
    KeyRevoked,
    LogRecord,
    Marked,
    MonthClosed,
    Progressed,
)
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, MINUTE
from entrepot.core.world import World
from entrepot.ports.books import Books, Closing
from entrepot.ports.event_log import Position
from entrepot.workers import Fold, fold, verify
from tests.support.billing import (
    APRIL,
    MARCH,
    ListLog,
    admitted,
    applied,
    contract,
    folded,
    prices,
    recorded,
    usage,
    version,
    world,
)

PRICES = prices(("m", "input_tokens", "1000"), ("m", "output_tokens", "2000"))  # 0.001 and 0.002 a token
WORLD = world(version(PRICES))
CLOSE = MonthClosed(at=APRIL + HOUR, period="2024-03")


def lines(books: Books, number: str = "2024-03-000001") -> list[tuple[str, str, str, str]]:
    return [(line.kind, line.period, line.quantity, line.amount) for line in books.invoice(number).lines]


def test_a_request_that_is_settled_leaves_nothing_open() -> None:
    life = [admitted("a"), Progressed(id="a", at=MARCH, output_tokens=3), *recorded(usage("a"))]
    for batch in (1, 2, 3):
        books = folded(applied(WORLD), *life, batch=batch)
        assert books.oldest_open() is None
        assert [event.id for event in books.events(0, APRIL)] == ["a"]


def test_usage_that_comes_before_its_admission_keeps_it_from_opening() -> None:
    for events in ([usage("a")], [usage("a", customer="nobody")], [usage("a", tier="gold")]):
        for batch in (1, 9):
            assert folded(applied(WORLD), *recorded(*events), admitted("a"), batch=batch).oldest_open() is None


def test_a_given_up_request_waits_with_what_was_counted() -> None:
    left = Abandoned(id="a", at=MARCH + 9, outcome="client_left", answered=True, output_tokens=5)
    progressed = Progressed(id="b", at=MARCH, output_tokens=2, others=(("c", 7), ("gone", 1)))
    books = folded(applied(WORLD), *map(admitted, "abc"), progressed, left)
    assert [item.given_up for item in books.open_requests(given_up=True)] == [left]
    assert [item.output_tokens for item in books.open_requests(given_up=False)] == [2, 7]


def test_a_lost_gateway_gives_up_what_it_had_admitted_before() -> None:
    records: list[LogRecord] = [
        admitted("a", instance="one"),
        InstanceLost(instance="one", at=MARCH + 5),
        admitted("b", instance="one"),
        admitted("c", instance="two"),
    ]
    for batch in (1, 9):
        books = folded(applied(WORLD), *records, batch=batch)
        assert [item.admitted.id for item in books.open_requests(given_up=True)] == ["a"]


def test_usage_without_a_price_is_booked_when_the_world_has_one() -> None:
    """A conflict that shows only then is a conflict still."""
    first, second = usage("a", tier="batch"), usage("a", tier="batch", meters={"input_tokens": 1})
    before = [applied(WORLD), *recorded(first, second, usage("b", customer="nobody"))]
    books = folded(*before)
    assert [item.kind for item in books.quarantined()] == ["unpriced"] * 3
    later = world(version((*PRICES, *prices(("m", "input_tokens", "500"), tier="batch"))))
    books = folded(*before, applied(later))
    assert [event.id for event in books.events(0, APRIL)] == ["a"]
    assert sorted((item.event.id, item.kind) for item in books.quarantined()) == [("a", "conflict"), ("b", "unpriced")]


def test_retrying_goes_past_what_still_has_no_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.flows.process_usage._RETRIED_AT_ONCE", 3)
    waiting = [usage(f"{number:02d}", customer="acme" if number % 3 else "nobody") for number in range(20)]
    books = folded(*recorded(*waiting), applied(WORLD))
    assert len(list(books.events(0, APRIL))) == 13
    assert [item.event.customer for item in books.quarantined()] == ["nobody"] * 7
    assert {item.reason for item in books.quarantined()} == {
        "customer 'nobody' is not declared; declare the customer and a contract"
    }


def test_a_key_once_revoked_stays_revoked() -> None:
    issued = KeyIssued(at=1, key_id="k", digest="d", project="search", name="n")
    books = folded(
        issued, KeyRevoked(at=5, key_id="k"), issued, KeyRevoked(at=9, key_id="k"), KeyRevoked(at=9, key_id="x")
    )
    (key,) = books.keys()
    assert (key.id, key.created_at, key.revoked_at) == ("k", 1, 5)
    (key,) = folded(issued).keys()
    assert key.revoked_at == END_OF_TIME


def test_a_mark_accrues_the_hours_before_it() -> None:
    events = recorded(usage("a"), usage("b", MARCH + HOUR), usage("c", MARCH + 2 * HOUR))
    books = folded(applied(WORLD), *events, Marked(at=MARCH + 2 * HOUR + 5))
    assert [entry.key for entry, _ in books.entries()] == [
        f"usage:acme@2024-01-01:{MARCH}:0",
        f"usage:acme@2024-01-01:{MARCH + HOUR}:0",
    ]
    assert books.watermark() == MARCH + 2 * HOUR + 5
    assert books.balances() == {
        ("assets:receivable:accrued:acme", "USD"): 20 * 10**9,
        ("income:usage:m", "USD"): -20 * 10**9,
    }


def test_a_mark_stops_at_the_oldest_open_request() -> None:
    events = recorded(usage("a"), usage("b", MARCH + HOUR))
    books = folded(applied(WORLD), *events, admitted("x", MARCH + HOUR + 5), Marked(at=MARCH + 9 * HOUR))
    assert books.watermark() == MARCH + HOUR + 5
    assert books.root()[0] == 1


def test_late_usage_of_an_hour_makes_its_next_entry() -> None:
    mark = Marked(at=MARCH + 3 * HOUR)
    books = folded(
        applied(WORLD),
        *recorded(usage("a")),
        mark,
        mark,
        *recorded(usage("b", MARCH + 1)),
        mark,
        *recorded(usage("a")),
        mark,
    )
    assert [entry.key for entry, _ in books.entries()] == [
        f"usage:acme@2024-01-01:{MARCH}:{number}" for number in (0, 1)
    ]


def test_free_usage_makes_a_line_and_no_entry() -> None:
    free = world(version(prices(("m", "input_tokens", "0"))))
    books = folded(applied(free), *recorded(usage("a")), Marked(at=MARCH + 3 * HOUR))
    assert books.root()[0] == 0
    assert lines(folded(applied(free), *recorded(usage("a")), CLOSE)) == [("usage", "2024-03", "10", "0.00")]


def test_a_close_issues_invoices_in_the_order_of_contracts() -> None:
    declared = world(version(PRICES), customers=["zeta", "acme", "idle"])
    events = recorded(usage("a", customer="zeta"), usage("b"), usage("c", APRIL))
    books = folded(applied(declared), *events, CLOSE)
    assert [(item.number, item.contract) for item in books.invoices()] == [
        ("2024-03-000001", "acme@2024-01-01"),
        ("2024-03-000002", "zeta@2024-01-01"),
    ]
    assert books.closings() == [Closing("2024-03", APRIL + HOUR)]
    assert books.invoice("2024-03-000001").issued_at == "2024-04-01T01:00:00Z"
    assert books.balances()["assets:receivable:invoiced:acme", "USD"] == 10 * 10**9
    assert ("assets:receivable:accrued:acme", "USD") not in books.balances()


def test_the_residual_is_posted() -> None:
    books = folded(applied(WORLD), *recorded(usage("a", meters={"input_tokens": 7})), CLOSE)  # 0.007 -> 0.01
    assert books.balances() == {
        ("assets:receivable:invoiced:acme", "USD"): 10 * 10**9,
        ("income:usage:m", "USD"): -7 * 10**9,
        ("income:rounding", "USD"): -3 * 10**9,
    }


def test_closing_again_changes_nothing_until_something_is_left() -> None:
    late = usage("late", MARCH + DAY, meters={"input_tokens": 1000})
    again = MonthClosed(at=APRIL + 2 * HOUR, period="2024-03")
    books = folded(applied(WORLD), *recorded(usage("a")), CLOSE, again, *recorded(late), again, again)
    assert [item.number for item in books.invoices()] == ["2024-03-000001", "2024-03-000002"]
    assert lines(books, "2024-03-000002") == [("adjustment", "2024-03", "1000", "1.00")]


def test_usage_that_comes_after_the_close_is_an_adjustment_in_the_next_month() -> None:
    events = recorded(usage("late", MARCH + DAY, meters={"input_tokens": 1000}), usage("b", APRIL))
    books = folded(
        applied(WORLD), *recorded(usage("a")), CLOSE, *events, MonthClosed(at=APRIL + 31 * DAY, period="2024-04")
    )
    assert lines(books, "2024-04-000001") == [
        ("adjustment", "2024-03", "1000", "1.00"),
        ("usage", "2024-04", "10", "0.01"),
    ]
    assert [event.id for event in books.requests_of_line("2024-04-000001", 1)] == ["late"]
    assert [event.id for event in books.requests_of_line("2024-03-000001", 1)] == ["a"]


@pytest.mark.parametrize(
    ("records", "close", "reason"),
    [
        ([applied(WORLD)], MonthClosed(at=APRIL - 1, period="2024-03"), "2024-03 ends at 2024-04-01T00:00:00Z"),
        (
            [applied(WORLD), admitted("x", APRIL - 1)],
            CLOSE,
            "admitted at 2024-03-31T23:59:59.999999Z is still unresolved",
        ),
        ([applied(WORLD)], MonthClosed(at=APRIL, period="March"), "'March' is not a month"),
        ([], CLOSE, "no world is declared"),
        (
            [applied(world(version(PRICES), contracts=[contract("acme", zone="America/New_York")]))],
            MonthClosed(at=APRIL + HOUR, period="2024-03"),
            "ends at 2024-04-01T04:00:00Z",
        ),
    ],
)
def test_a_month_is_not_closed_while_usage_may_come(records: list[LogRecord], close: MonthClosed, reason: str) -> None:
    books = folded(*records, *recorded(usage("a")), close)
    assert books.invoices() == []
    assert [reason in item.refused for item in books.closings()] == [True]


def test_a_request_of_the_next_month_does_not_hold_a_close_back() -> None:
    assert len(folded(applied(WORLD), *recorded(usage("a")), admitted("x", APRIL), CLOSE).invoices()) == 1


def test_each_contract_invoices_its_own_usage() -> None:
    middle = MARCH + 14 * DAY
    declared = world(
        version(PRICES),
        contracts=[
            contract("acme", effective_to=middle),
            contract("acme", id="acme@2024-03-15", effective_from=middle, line_grain="model"),
        ],
    )
    events = recorded(usage("a", middle - 1), usage("b", middle, meters={"output_tokens": 5}))
    books = folded(applied(declared), *events, CLOSE)
    assert [(item.contract, item.lines[0].meter, item.total) for item in books.invoices()] == [
        ("acme@2024-01-01", "input_tokens", "0.01"),
        ("acme@2024-03-15", "", "0.01"),
    ]


def test_a_price_change_in_the_month_makes_two_lines() -> None:
    declared = world(version(PRICES), version(prices(("m", "input_tokens", "3000")), "2024-03-15"))
    events = recorded(usage("a"), usage("b", MARCH + 14 * DAY - 1), usage("c", MARCH + 14 * DAY))
    books = folded(applied(declared), *events, CLOSE)
    assert [(line.unit_price, line.quantity) for line in books.invoice("2024-03-000001").lines] == [
        ("0.003", "10"),
        ("0.001", "20"),
    ]
    assert [event.id for event in books.requests_of_line("2024-03-000001", 1)] == ["c"]
    assert [event.id for event in books.requests_of_line("2024-03-000001", 2)] == ["a", "b"]


def test_usage_is_invoiced_under_terms_that_a_later_world_has_dropped() -> None:
    gone = world(version(PRICES, "2024-03-20"), customers=["zeta"])
    books = folded(applied(WORLD), *recorded(usage("a")), applied(gone, MARCH + DAY), CLOSE)
    assert [(item.customer_name, item.total) for item in books.invoices()] == [("Acme", "0.01")]


def test_a_half_hour_zone_cuts_its_month_exactly() -> None:
    declared = world(version(PRICES), contracts=[contract("acme", zone="Asia/Kolkata")])
    ends = APRIL - 5 * HOUR - 30 * MINUTE
    events = [
        usage("before", MARCH - 5 * HOUR - 30 * MINUTE - 1, meters={"input_tokens": 1000}),
        usage("first", MARCH - 5 * HOUR - 30 * MINUTE, meters={"input_tokens": 2000}),
        usage("last", ends - 1, meters={"input_tokens": 4000}),
        usage("after", ends, meters={"input_tokens": 8000}),
    ]
    books = folded(applied(declared), *recorded(*events), CLOSE)
    assert lines(books) == [("adjustment", "2024-02", "1000", "1.00"), ("usage", "2024-03", "6000", "6.00")]
    found = books.requests_of_line("2024-03-000001", 2)
    assert [event.id for event in found] == ["first", "last"]


def test_a_fold_goes_on_where_the_books_stand() -> None:
    log = ListLog([applied(WORLD), *recorded(usage("a"))])
    books = open_books(":memory:")
    assert fold(books, log) == 2
    log.append(recorded(usage("b")))
    told: list[int] = []
    assert fold(books, log, batch=1, report=told.append) == 1
    assert told == [1]
    assert books.position() == Position(0, 3)


def test_a_fold_stops_at_a_position() -> None:
    books = open_books(":memory:")
    log = ListLog([applied(WORLD), *recorded(usage("a"), usage("b"))])
    assert fold(books, log, until=Position(0, 2)) == 2
    assert books.position() == Position(0, 2)


def test_two_folds_of_the_same_books_take_turns() -> None:
    log = ListLog([applied(WORLD), *recorded(*(usage(str(number)) for number in range(10)))])
    books = open_books(":memory:")
    one, two = Fold(books), Fold(books)
    assert [one.step(log, 3), two.step(log, 3), two.step(log, 3), one.step(log, 3)] == [3, 3, 3, 2]
    assert len(list(books.events(0, APRIL))) == 10
    assert books.repeats() == 0


def test_verify_finds_nothing_in_good_books_and_the_first_difference_in_others() -> None:
    log = ListLog([applied(WORLD), *recorded(usage("a"), usage("b")), CLOSE])
    books = open_books(":memory:")
    fold(books, log)
    log.append(recorded(usage("later")))  # Books that are behind the log are no fault.
    assert verify(books, open_books(":memory:"), log) == []
    with books.transaction():
        books.save_watermark(7)
    assert verify(books, open_books(":memory:"), log) == [
        "state differs in row 3: the books have ('watermark', 7), the log gives nothing"
    ]


def test_the_world_declares_more_than_prices() -> None:
    """Books hold the current world; a second apply of the same is no new version."""
    declared: World = world(version(PRICES), customers=["acme", "zeta"])
    books = folded(applied(WORLD), applied(declared), applied(declared))
    assert books.world() == (2, declared)
