"""The journal in hledger's language.

Source: the hledger manual, "Journal format". Accounts, currencies and precision are declared, so that `hledger check
--strict` has something to hold the file to.
"""

import re
from collections.abc import Iterator
from datetime import timedelta

from entrepot.core.journal import JournalEntry
from entrepot.core.money import format_pico
from entrepot.core.periods import format_instant
from entrepot.exporting.month_ends import MonthEnd

_DIGITS = 12
_ENDS_A_NAME = re.compile(r"[;\s]+")  # Two spaces end a name and a semicolon begins a comment; our ids have neither.


class HledgerText:
    """Writes one journal; it remembers what it has declared."""

    def __init__(self) -> None:
        self._declared: set[str] = set()

    def head(self, title: str, root: str) -> Iterator[str]:
        """What the file begins with."""
        yield f"; {_plain(title)}. Written by Entrepôt."
        yield f"; The hash of the last entry vouches for all of them: {root}"
        yield "decimal-mark ."
        yield ""

    def entry(self, number: int, item: JournalEntry, stored: str) -> Iterator[str]:
        """An entry, behind the accounts and currencies that it is the first to use."""
        for leg in item.postings:
            yield from self._declare(leg.account, leg.currency)
        yield f"{format_instant(item.at)[:10]} * ({number}) {item.kind} | {_plain(item.key)}"
        yield f"    ; at: {format_instant(item.at)}"
        yield f"    ; hash: {stored}"
        for leg in item.postings:
            yield f"    {_plain(leg.account)}  {format_pico(leg.amount_pico, _DIGITS)} {leg.currency}"
        yield ""

    def month_end(self, end: MonthEnd) -> Iterator[str]:
        """Assertions of what accounts hold when the month's last day is over, each on a posting of nothing."""
        for account, currency in end.balances:
            yield from self._declare(account, currency)
        yield f"{end.next_day - timedelta(days=1)} * balances at the end of {end.period}"
        for (account, currency), pico in end.balances.items():
            held = f"{format_pico(pico, _DIGITS)} {currency}"
            yield f"    {_plain(account)}  {format_pico(0, _DIGITS)} {currency} = {held}"
        yield ""

    def _declare(self, account: str, currency: str) -> Iterator[str]:
        if currency not in self._declared:
            self._declared.add(currency)
            yield f"commodity 1000.{'0' * _DIGITS} {currency}"
        if account not in self._declared:
            self._declared.add(account)
            yield f"account {_plain(account)}"


def _plain(text: str) -> str:
    return _ENDS_A_NAME.sub(" ", text)
