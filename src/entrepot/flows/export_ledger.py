"""The journal as a file of plain-text accounting, which its own tool can check."""

from collections.abc import Iterator
from typing import Literal

from entrepot.exporting.beancount import BeancountText
from entrepot.exporting.hledger import HledgerText
from entrepot.exporting.month_ends import MonthEnds
from entrepot.ports.books import Books

LedgerForm = Literal["beancount", "hledger"]


def ledger_lines(books: Books, form: LedgerForm) -> Iterator[str]:
    """The lines of the file, each entry as it is read: memory does not grow with the journal.

    Behind the entries stand the balances at the end of every month; those of the last one are the books' own.
    """
    text = BeancountText() if form == "beancount" else HledgerText()
    with books.snapshot():
        declared = books.world()
        yield from text.head(declared[1].operator.name if declared else "", f"sha256:{books.root()[1]}")
        ends = MonthEnds()
        for number, (item, stored) in enumerate(books.entries(), start=1):
            yield from text.entry(number, item, stored)
            ends.add(item)
        for end in ends.ends(books.balances()):
            yield from text.month_end(end)
