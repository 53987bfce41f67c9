"""Whether two books are equal, and whether one holds together by itself."""

from collections.abc import Iterator
from itertools import zip_longest

from entrepot.ledger.post import journal_faults
from entrepot.ports.books import Books

_SHOWN_MAX = 160  # Characters of a row in a message.


def compare(kept: Books, rebuilt: Books) -> Iterator[str]:
    """The first differing row of each table that differs, in a sentence; nothing when the books are equal."""
    for table in kept.tables():
        for number, (one, other) in enumerate(zip_longest(kept.rows(table), rebuilt.rows(table)), start=1):
            if one != other:
                yield f"{table} differs in row {number}: the books have {_shown(one)}, the log gives {_shown(other)}"
                break


def check(books: Books) -> Iterator[str]:
    """What is wrong with stored journal and invoices by themselves, in sentences."""
    yield from journal_faults(books.entries())
    for number in books.damaged_invoices():
        yield f"invoice {number} is not what was issued: its bytes do not have the hash beside them"


def _shown(row: tuple[object, ...] | None) -> str:
    if row is None:
        return "nothing"
    text = repr(row)
    return text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "…"
