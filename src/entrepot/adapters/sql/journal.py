"""The journal: append-only by trigger, balanced by core.journal, chained by hash."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from entrepot.adapters.sql.database import Database, Row
from entrepot.adapters.sql.numbering import Numbering
from entrepot.adapters.sql.store import Store
from entrepot.core.journal import GENESIS, JournalEntry, Posting, chain
from entrepot.core.money import join_pico, split_pico
from entrepot.core.periods import Instant

_PART = 10**9  # Micro are summed in two parts: years of a busy account in a small currency outgrow 64 bits.


class AccountNumbers(Numbering[str]):
    """The numbers of accounts."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "account", "name")

    def to_row(self, key: str) -> Row:
        return (key,)

    def of_row(self, row: Row) -> str:
        return str(row[0])


class Journal(Store):
    """The ledger part of the books."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._accounts = AccountNumbers(database)

    def append_entries(self, entries: Sequence[JournalEntry]) -> None:
        """See ports.books."""
        number, root = self.root()
        heads: list[Row] = []
        legs: list[Row] = []
        account = self._accounts.number
        for number, entry in enumerate(entries, start=number + 1):  # noqa: B020 the number goes on where the root stands
            root = chain(root, entry)
            heads.append((number, entry.key, entry.kind, entry.at, bytes.fromhex(root)))
            legs.extend(
                (number, leg, account(posting.account), posting.currency, *split_pico(posting.amount_pico))
                for leg, posting in enumerate(entry.postings)
            )
        added = self._database.execute_many(
            "INSERT OR IGNORE INTO journal (no, key, kind, at, hash) VALUES (?, ?, ?, ?, ?)", heads
        )
        assert added == len(heads), f"an entry exists among {[item.key for item in entries]}"
        self._database.execute_many(
            "INSERT INTO posting (entry, leg, account, currency, wide, micro, pico_rem) VALUES (?, ?, ?, ?, ?, ?, ?)",
            legs,
        )

    def has_entry(self, key: str, hour: Instant | None = None) -> bool:
        """See ports.books."""
        if hour is None:
            return self._database.one("SELECT 1 FROM journal WHERE kind <> 'usage' AND key = ?", (key,)) is not None
        of_hour = "SELECT 1 FROM journal WHERE kind = 'usage' AND at = ? AND key = ?"
        return self._database.one(of_hour, (hour, key)) is not None

    def root(self) -> tuple[int, str]:
        """See ports.books."""
        row = self._database.one("SELECT no, hash FROM journal ORDER BY no DESC LIMIT 1")
        return (row[0], row[1].hex()) if row else (0, GENESIS)

    def entries(self) -> Iterator[tuple[JournalEntry, str]]:
        """See ports.books."""
        heads = self._database.rows("SELECT no, key, kind, at, hash FROM journal ORDER BY no")
        legs = self._database.rows(
            "SELECT entry, account, currency, wide, micro, pico_rem FROM posting ORDER BY entry, leg"
        )
        leg = next(legs, None)
        for number, key, kind, at, stored in heads:
            postings = []
            while leg is not None and leg[0] == number:
                postings.append(Posting(self._accounts.key(leg[1]), leg[2], join_pico(*leg[3:])))
                leg = next(legs, None)
            yield JournalEntry(key=key, kind=kind, at=at, postings=tuple(postings)), stored.hex()

    def balances(self) -> dict[tuple[str, str], int]:
        """See ports.books."""
        sums: dict[tuple[str, str], int] = defaultdict(int)
        for account, currency, wide, parts, micro, remainder in self._database.rows(
            f"SELECT account, currency, sum(wide), sum(micro / {_PART}), sum(micro % {_PART}), sum(pico_rem) "
            "FROM posting GROUP BY account, currency"
        ):
            sums[self._accounts.key(account), currency] = join_pico(wide, parts * _PART + micro, remainder)
        return {key: pico for key, pico in sorted(sums.items()) if pico}
