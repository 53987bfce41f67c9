"""What a question to the books costs, in steps of the database's own program: the same however much lies beside it."""

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import partial

import msgspec

from entrepot.adapters.sql.books import open_books
from entrepot.core.charges import Series
from entrepot.core.periods import HOUR
from entrepot.ports.books import Books
from tests.support.billing import MARCH, SERIES, invoice, metered, usage


def steps(books: Books, ask: Callable[[], object]) -> int:
    counted = 0

    def one() -> int:
        nonlocal counted
        counted += 1
        return 0

    connection = books._database._connection  # type: ignore[attr-defined]
    connection.set_progress_handler(one, 1)
    ask()
    connection.set_progress_handler(None, 0)
    return counted


def series_of(customer: str) -> Series:
    return msgspec.structs.replace(SERIES, contract=f"{customer}@2024-01-01", customer=customer)


def use(books: Books, series: Series, hours: Iterable[int]) -> None:
    books.add_readings({(series, "input_tokens", MARCH + hour * HOUR): 10 for hour in hours})


def steps_to_what_is_not_invoiced(hours: int) -> int:
    """Given so many hours that are invoiced, as many that are posted, and one that is neither."""
    with closing(open_books(":memory:")) as books:
        with books.transaction():
            use(books, SERIES, range(hours))
            books.mark_posted(books.unposted_readings(MARCH * 2, 10**6))
            books.issue(invoice("2024-03-000001"))
            books.mark_invoiced([books.uninvoiced_readings(SERIES.contract, MARCH * 2)], "2024-03-000001")
            use(books, series_of("posted"), range(hours))
            books.mark_posted(books.unposted_readings(MARCH * 2, 10**6))
            use(books, series_of("waiting"), [5])
        assert books.uninvoiced_since() == {"posted@2024-01-01": MARCH, "waiting@2024-01-01": MARCH + 5 * HOUR}
        return steps(books, books.uninvoiced_since)


def test_what_is_not_invoiced_is_found_without_what_is() -> None:
    assert steps_to_what_is_not_invoiced(10) == steps_to_what_is_not_invoiced(300) > 0


def steps_to_a_latest_admission(others: int) -> tuple[int, int]:
    """Of a customer, and of one without usage, beside so many others that have used something since."""
    with closing(open_books(":memory:")) as books:
        used = [
            metered(usage(f"{number}/{hour}", MARCH + hour * HOUR, customer=f"c{number}"), series_of(f"c{number}"))
            for number in range(others)
            for hour in range(3)
        ]
        with books.transaction():
            books.insert_events([*used, metered(usage("z", MARCH + HOUR + 7, customer="zeta"), series_of("zeta"))])
        assert books.latest_admission(customer="zeta") == MARCH + HOUR + 7
        assert books.latest_admission(customer="nobody") is None
        found, none = (steps(books, partial(books.latest_admission, customer=name)) for name in ("zeta", "nobody"))
        return found, none


def test_a_customer_s_latest_admission_is_found_without_what_others_used() -> None:
    few, many = steps_to_a_latest_admission(10), steps_to_a_latest_admission(300)
    assert few == many
    assert 0 < few[1] < few[0]
