"""A close in pieces: the same books however it is cut, wherever it dies, and whoever goes on with it."""

from pathlib import Path

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.core.errors import PeriodNotClosable
from entrepot.core.log_records import LogRecord, Marked, MonthClosed
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, HOUR, parse_instant, parse_period
from entrepot.core.prices import Price, Step
from entrepot.core.terms import Commitment, Minimum
from entrepot.core.world import WorldIndex
from entrepot.flows.close_month import check_order
from entrepot.ports.books import Books
from entrepot.workers import Fold, fold, verify
from tests.support.billing import (
    APRIL,
    MARCH,
    ListLog,
    applied,
    contract,
    folded,
    prices,
    recorded,
    usage,
    version,
    world,
)

CUSTOMERS = [f"c{number}" for number in range(7)]
STEPS = (Step(40, 3_000_000), Step(None, 1_000_000))
PRICES = (
    *prices(("m", "input_tokens", "1.5")),
    Price("m", "output_tokens", "default", 0, mode="graduated", steps=STEPS),
)
TERMS = {
    "c1": (Minimum(10**12),),
    "c2": (Commitment(50 * 10**6, MARCH, parse_instant("2024-05-01"), prepaid=True),),
}
WORLD = world(
    version(PRICES),
    customers=CUSTOMERS,
    contracts=[contract(name, terms=TERMS.get(name, ())) for name in CUSTOMERS],
)


def months() -> list[LogRecord]:
    """Two months of seven customers, marked once, closed, with late usage between; the last customer has no usage."""
    meters = {"input_tokens": 11, "output_tokens": 17}
    march = [
        usage(f"{name}-{number}", MARCH + number * 30 * HOUR, customer=name, meters=meters)
        for name in CUSTOMERS[:-1]
        for number in range(5)
    ]
    late = [usage(f"late-{name}", MARCH + HOUR, customer=name, meters=meters) for name in CUSTOMERS[:3]]
    april = [usage(f"april-{name}", APRIL + DAY, customer=name, meters=meters) for name in CUSTOMERS[1:]]
    return [
        applied(WORLD),
        *recorded(*march[:20]),
        Marked(at=MARCH + 5 * DAY),
        *recorded(*march[20:]),
        MonthClosed(at=APRIL + HOUR, period="2024-03"),
        *recorded(*late, *april),
        MonthClosed(at=APRIL + 40 * DAY, period="2024-04"),
    ]


def transactions(books: Books, log: ListLog, piece: int) -> int:
    """How many it takes to fold the log in pieces of so many readings."""
    worker, count = Fold(books, piece=piece), 0
    committed = worker._commit

    def counted(read: object) -> bool:
        nonlocal count
        count += 1
        return committed(read)  # type: ignore[arg-type]

    worker._commit = counted  # type: ignore[method-assign]
    while worker.step(log):
        pass
    return count


@pytest.mark.parametrize("piece", [1, 2, 5, 9, 30])
def test_the_books_do_not_depend_on_the_pieces(piece: int) -> None:
    whole, cut = folded(*months()), open_books(":memory:")
    assert transactions(cut, ListLog(months()), piece) > (20 if piece == 1 else 6)
    assert cut.digest() == whole.digest()
    assert [item.number for item in cut.invoices("2024-03")] == [f"2024-03-{number:06d}" for number in range(1, 7)]


class Stopped(BaseException):
    """The process would be dead here."""


class MortalFold(Fold):
    """Dies at its nth piece: once the piece is done but not committed, or else before it begins."""

    def __init__(self, books: Books, piece: int, pieces: int, *, uncommitted: bool) -> None:
        super().__init__(books, piece=piece)
        self._left = pieces
        self._uncommitted = uncommitted

    def _advance(self, record: Marked | MonthClosed) -> bool:
        self._left -= 1
        if self._left == 0 and self._uncommitted:
            super()._advance(record)
        if self._left == 0:
            raise Stopped
        return super()._advance(record)


@pytest.mark.parametrize("piece", [1, 6])
@pytest.mark.parametrize("uncommitted", [True, False])
def test_it_goes_on_from_each_recovery_point(tmp_path: Path, piece: int, uncommitted: bool) -> None:
    whole, log = folded(*months()), ListLog(months())
    points, died = 0, True
    for pieces in range(1, 100):
        path = tmp_path / f"{pieces}.db"
        books = open_books(str(path))
        worker = MortalFold(books, piece, pieces, uncommitted=uncommitted)
        try:
            while worker.step(log):
                pass
            died = False
        except Stopped:
            points += books.recovery_point() is not None
        books.close()
        again = open_books(str(path))
        fold(again, log)
        assert again.digest() == whole.digest(), f"died at piece {pieces}"
        again.close()
        if not died:
            break
    assert points > (10 if piece == 1 else 3)
    assert not died


def test_two_processes_share_a_close(tmp_path: Path) -> None:
    log = ListLog(months())
    one, two = open_books(str(tmp_path / "books.db")), open_books(str(tmp_path / "books.db"))
    second = Fold(two, piece=3)
    turns = 0

    def told(_: str) -> None:
        nonlocal turns
        turns += 1

    first = Fold(one, piece=2, note=told)
    commit = first._commit

    def interleaved(read: object) -> bool:
        done = commit(read)  # type: ignore[arg-type]
        if not done:
            second._commit(read)  # type: ignore[arg-type]
        return done

    first._commit = interleaved  # type: ignore[method-assign]
    while first.step(log):
        second._load()
    assert turns > 2
    assert one.digest() == folded(*months()).digest()
    one.close()
    two.close()


def test_verifying_ends_a_close_that_was_left() -> None:
    log, books = ListLog(months()), open_books(":memory:")
    worker = Fold(books, piece=1)
    worker.step(log, 1)
    while books.recovery_point() is None:
        records = list(log.read(books.position(), 100))
        with books.transaction():
            closing = next((item for item in records if isinstance(item[1], MonthClosed)), None)
            if records[0] is closing:
                worker._advance(closing[1])  # type: ignore[arg-type]
                break
        worker.step(log)
    assert books.recovery_point() is not None
    assert verify(books, open_books(":memory:"), log) == []
    assert books.recovery_point() is None


def test_months_closed_out_of_order_come_to_the_same_in_all() -> None:
    def closed(*order: str) -> tuple[int, int]:
        records = [item for item in months() if not isinstance(item, MonthClosed)]
        closes = [MonthClosed(at=APRIL + 40 * DAY + number, period=label) for number, label in enumerate(order)]
        books = folded(*records, *closes)
        lines = [line for invoice in books.invoices() for line in invoice.lines]
        used = [line for line in lines if line.kind in ("usage", "adjustment")]
        return sum(parse_pico(line.exact) for line in lines), sum(int(line.quantity) for line in used)

    assert closed("2024-03", "2024-04") == closed("2024-04", "2024-03")


def test_a_month_waits_for_the_months_before_it() -> None:
    terms = WorldIndex(WORLD)
    used = [applied(WORLD), *recorded(usage("a", MARCH, customer="c0"))]
    with pytest.raises(PeriodNotClosable, match=r"2024-03 is not closed yet.*entrepot close 2024-03"):
        check_order(folded(*used), terms, parse_period("2024-04"))
    check_order(folded(*used), terms, parse_period("2024-03"))
    check_order(folded(*used), terms, parse_period("2023-01"))
    edges = [usage("west", MARCH + HOUR, customer="c0"), usage("east", MARCH - HOUR, customer="c1")]
    zones = [contract("c0", zone="America/New_York"), contract("c1", zone="Asia/Tokyo")]
    apart = world(version(PRICES), customers=["c0", "c1"], contracts=zones)
    check_order(folded(applied(apart), *recorded(*edges)), WorldIndex(apart), parse_period("2024-03"))
    march = folded(*used, MonthClosed(at=APRIL, period="2024-03"))
    check_order(march, terms, parse_period("2024-04"))
    with pytest.raises(PeriodNotClosable, match="2024-04 is not closed yet"):
        check_order(march, terms, parse_period("2024-05"))
