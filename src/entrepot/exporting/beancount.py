"""The journal in Beancount's language, version 3.

Source: the Beancount language syntax. A name of an account is made of words that begin with a capital letter or a
digit; ours are kept beside them as metadata.
"""

import re
from collections.abc import Iterator

from entrepot.core.journal import JournalEntry
from entrepot.core.money import format_pico
from entrepot.core.periods import format_instant
from entrepot.exporting.month_ends import MonthEnd

_DIGITS = 12
_UNUSABLE = re.compile(r"[^A-Za-z0-9-]")
_OPENED = "1970-01-01"  # Late usage makes entries for hours before those that opened an account.


class BeancountText:
    """Writes one journal; it remembers which accounts it has opened, under which names."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def head(self, title: str, root: str) -> Iterator[str]:
        """What the file begins with."""
        yield f"; Written by Entrepôt. The hash of the last entry vouches for all of them: {root}"
        yield f'option "title" {_quoted(title)}'
        yield 'option "inferred_tolerance_default" "*:0"'
        yield ""

    def entry(self, number: int, item: JournalEntry, stored: str) -> Iterator[str]:
        """An entry, behind the accounts that it is the first to use."""
        for leg in item.postings:
            if leg.account not in self._names:
                yield from self._open(leg.account)
        yield f"{format_instant(item.at)[:10]} * {_quoted(item.kind)} {_quoted(item.key)}"
        yield f"  entry: {number}"
        yield f'  at: "{format_instant(item.at)}"'
        yield f'  hash: "{stored}"'
        for leg in item.postings:
            yield f"  {self._names[leg.account]}  {format_pico(leg.amount_pico, _DIGITS)} {leg.currency}"
        yield ""

    def month_end(self, end: MonthEnd) -> Iterator[str]:
        """Assertions of what accounts hold: Beancount checks them at the beginning of their day, here to the pico."""
        for (account, currency), pico in end.balances.items():
            if account not in self._names:
                yield from self._open(account)
            amount = format_pico(pico, _DIGITS)
            yield f"{end.next_day} balance {self._names[account]}  {amount} ~ {format_pico(0, _DIGITS)} {currency}"
        yield ""

    def _open(self, account: str) -> Iterator[str]:
        plain = ":".join(map(_word, account.split(":")))
        name, more = plain, 2
        while name in self._taken:  # Beancount knows fewer letters than our ids do.
            name, more = f"{plain}-{more}", more + 1
        self._taken.add(name)
        self._names[account] = name
        yield f"{_OPENED} open {name}"
        yield f"  name: {_quoted(account)}"


def _word(part: str) -> str:
    word = _UNUSABLE.sub("-", part)
    return word[0].upper() + word[1:] if word[:1].isalnum() else f"X{word}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
