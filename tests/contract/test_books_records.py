"""What every Books does, wherever it keeps them: journal, invoices, declared records, transactions."""

import msgspec
import pytest

from entrepot.core.errors import NotFound
from entrepot.core.journal import GENESIS, Posting, chain, entry
from entrepot.core.periods import HOUR
from entrepot.core.tenancy import ApiKey
from entrepot.ports.books import Books, Closing
from entrepot.ports.event_log import Position
from tests.support.billing import MARCH, SERIES, insert, invoice, metered, usage, version, world

WIDE = 98_765_432_109_876_543_210_123_456  # More pico, and more micro, than 64 bits hold.


def test_the_journal_is_a_chain(books: Books) -> None:
    assert books.root() == (0, GENESIS)
    items = [
        entry(
            f"k{number}",
            "usage",
            MARCH + number,
            (Posting("assets:a", "USD", amount), Posting("income:b", "USD", -amount)),
        )
        for number, amount in enumerate((WIDE, -1, 999_999))
    ]
    with books.transaction():
        books.append_entries(items[:1])
        books.append_entries([])
        books.append_entries(items[1:])
    hashes = [chain(GENESIS, items[0])]
    hashes.append(chain(hashes[0], items[1]))
    hashes.append(chain(hashes[1], items[2]))
    assert list(books.entries()) == list(zip(items, hashes, strict=True))
    assert books.root() == (3, hashes[2])
    assert books.has_entry("k1", MARCH + 1)
    assert not books.has_entry("k1", MARCH + HOUR)
    assert not books.has_entry("k3", MARCH + 3)
    total = WIDE - 1 + 999_999
    assert books.balances() == {("assets:a", "USD"): total, ("income:b", "USD"): -total}


def test_an_entry_of_a_known_key_is_a_bug(books: Books) -> None:
    item = entry("k", "usage", MARCH, ())
    with books.transaction():
        books.append_entries([item])
    with pytest.raises(AssertionError, match="exists among"), books.transaction():
        books.append_entries([item])


def test_balances_are_by_currency_without_the_zeros(books: Books) -> None:
    legs = (Posting("a", "USD", 5), Posting("b", "USD", -5), Posting("a", "EUR", 7), Posting("b", "EUR", -7))
    back = (Posting("a", "EUR", -7), Posting("b", "EUR", 7))
    with books.transaction():
        books.append_entries([entry("k", "usage", MARCH, legs), entry("l", "usage", MARCH, back)])
    assert books.balances() == {("a", "USD"): 5, ("b", "USD"): -5}


def test_a_balance_may_outgrow_what_one_posting_can_hold(books: Books) -> None:
    amount = (2**63 - 1) * 10**6
    with books.transaction():
        for number in range(3):
            legs = (Posting("a", "VND", amount + number), Posting("b", "VND", -amount - number))
            books.append_entries([entry(f"k{number}", "usage", MARCH, legs)])
    assert books.balances() == {("a", "VND"): 3 * amount + 3, ("b", "VND"): -3 * amount - 3}


def test_invoices_are_kept_as_issued(books: Books) -> None:
    assert books.next_number("2024-03") == 1
    issued = [invoice("2024-03-000001"), invoice("2024-03-000002"), invoice("2024-04-000001")]
    with books.transaction():
        for item in issued:
            books.issue(item)
    assert books.next_number("2024-03") == 3
    assert books.next_number("2024-04") == 2
    assert books.invoices("2024-03") == issued[:2]
    assert books.invoices() == issued
    assert books.invoice("2024-04-000001") == issued[2]
    assert books.damaged_invoices() == []
    with pytest.raises(NotFound, match="there is no invoice 2024-05-000001"):
        books.invoice("2024-05-000001")
    with pytest.raises(AssertionError, match="exists"), books.transaction():
        books.issue(issued[0])


def take(books: Books, number: str, meter: str = "input_tokens") -> None:
    with books.transaction():
        books.mark_posted(list(books.unposted_readings(MARCH * 2, 1000)))
        books.issue(invoice(number, meter=meter))
        books.mark_invoiced([books.uninvoiced_readings(SERIES.contract, MARCH * 2)], number)


def test_a_line_knows_the_price_versions_behind_it(books: Books) -> None:
    later = msgspec.structs.replace(SERIES, price_version="list@2024-03-15")
    with books.transaction():
        for series, hour in ((later, MARCH), (SERIES, MARCH), (SERIES, MARCH + HOUR)):
            books.add_readings({(series, "input_tokens", hour): 1})
    take(books, "2024-03-000001")
    assert books.price_versions_of("2024-03-000001") == {1: [SERIES.price_version, "list@2024-03-15"]}
    assert books.price_versions_of("2024-03-000002") == {}


def test_a_line_leads_to_its_requests_and_no_others(books: Books) -> None:
    """Late usage of an hour belongs to the invoice after the one that took the hour first."""
    first = [usage("a"), usage("b", MARCH + 1), usage("c", MARCH + 2, meters={"output_tokens": 1})]
    late = [usage("d", MARCH + 3), usage("e", MARCH + HOUR)]
    for number, events in (("2024-03-000001", first), ("2024-04-000001", late)):
        for event in events:
            insert(books, event)
        with books.transaction():
            for event in events:
                hour = event.admitted_at - event.admitted_at % HOUR
                books.add_readings({(SERIES, meter, hour): quantity for meter, quantity in event.meters.items()})
        take(books, number, meter="")
    assert [event.id for event in books.requests_of_line("2024-03-000001", 1)] == ["a", "b", "c"]
    assert [event.id for event in books.requests_of_line("2024-04-000001", 1)] == ["d", "e"]


def test_a_line_leads_only_to_requests_with_its_meter(books: Books) -> None:
    insert(books, usage("a"), usage("b", meters={"output_tokens": 1}), usage("c", meters={"input_tokens": 0}))
    with books.transaction():
        books.add_readings({(SERIES, "input_tokens", MARCH): 10})
    take(books, "2024-03-000001")
    found = books.requests_of_line("2024-03-000001", 1)
    assert [event.id for event in found] == ["a"]
    with pytest.raises(NotFound, match="has no line 2"):
        books.requests_of_line("2024-03-000001", 2)


def test_worlds_are_versions(books: Books) -> None:
    one, two = world(version(())), world(version(()), customers=["zeta"])
    assert books.world() is None
    with books.transaction():
        assert [books.save_world(MARCH, item) for item in (one, one, two, two, one)] == [1, 1, 2, 2, 3]
    assert books.world() == (3, one)
    assert [world for _, world in books.worlds()] == [one, two, one]


def test_a_world_is_found_by_when_it_was_in_force(books: Books) -> None:
    assert books.world_at(MARCH) is None
    one, two, three = (world(version(()), customers=[name]) for name in ("acme", "beta", "zeta"))
    with books.transaction():
        for at, item in ((MARCH, one), (MARCH + 5, two), (MARCH + 5, three)):
            books.save_world(at, item)
    found = [books.world_at(MARCH + at) for at in (-1, 0, 4, 5, 6)]
    assert found == [one, one, one, three, three]


def test_keys_are_replaced_by_id(books: Books) -> None:
    key = ApiKey(id="k", digest="d", project="search", name="n", created_at=1)
    revoked = msgspec.structs.replace(key, revoked_at=5)
    other = msgspec.structs.replace(key, id="a")
    with books.transaction():
        for item in (key, other, revoked):
            books.save_key(item)
    assert books.keys() == [other, revoked]
    assert (books.key("k"), books.key("a"), books.key("b")) == (revoked, other, None)


def test_closings_are_remembered(books: Books) -> None:
    refused = Closing("2024-03", 5, "too early")
    with books.transaction():
        books.record_closing(refused)
        books.record_closing(Closing("2024-03", 7, "x"))
        books.record_closing(Closing("2024-03", 7))
        books.record_closing(Closing("2024-02", 9))
    assert books.closings("2024-03") == [refused, Closing("2024-03", 7)]
    assert books.closings()[0] == Closing("2024-02", 9)


def test_position_and_watermark(books: Books) -> None:
    assert (books.position(), books.watermark()) == (Position(), 0)
    with books.transaction():
        books.save_position(Position(3, 70))
        books.save_watermark(9)
        books.save_watermark(4)
    assert (books.position(), books.watermark()) == (Position(3, 70), 9)


def test_an_exception_leaves_no_trace(books: Books) -> None:
    before = books.digest()

    def fail() -> None:
        with books.transaction():
            books.insert_events([metered(usage("a"))])
            books.add_readings({(SERIES, "input_tokens", MARCH): 10})
            books.append_entries([entry("k", "usage", MARCH, (Posting("a", "USD", 1), Posting("b", "USD", -1)))])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert books.digest() == before
    assert insert(books, usage("a"))[0] == [usage("a")]


def test_the_digest_names_the_table_that_differs(books: Books) -> None:
    before = books.digest()
    assert list(before) == books.tables()
    with books.transaction():
        books.save_watermark(5)
    after = books.digest()
    assert [table for table in before if before[table] != after[table]] == ["state"]
    assert list(books.rows("state")) == [("watermark", 5)]
