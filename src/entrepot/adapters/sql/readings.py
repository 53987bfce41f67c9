"""Readings: how much was counted, how much of it is posted, and how much is invoiced."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from operator import attrgetter, itemgetter

import msgspec

from entrepot.adapters.sql.database import Row
from entrepot.adapters.sql.packing import SERIES_COLUMNS
from entrepot.adapters.sql.store import Store
from entrepot.core.charges import Pool, Reading, Series
from entrepot.core.periods import Instant
from entrepot.ports.books import Pooled, Spending

_POOL_COLUMNS = "contract, price_version, model, meter, tier, price_class, period"
_ORDER = f"contract, hour, {SERIES_COLUMNS}, meter"

# What is not invoiced is posted, or it is not: each has an index, which nothing that is invoiced is in.
_UNINVOICED_SINCE = """
SELECT contract, min(since) FROM (
    SELECT contract, (
        SELECT hour FROM reading INDEXED BY reading_uninvoiced
        WHERE series = no AND posted <> invoiced AND quantity <> invoiced ORDER BY hour LIMIT 1
    ) AS since FROM series
    UNION ALL
    SELECT contract, hour FROM reading INDEXED BY reading_unposted CROSS JOIN series ON no = series
    WHERE quantity <> posted AND quantity <> invoiced
) GROUP BY contract HAVING min(since) IS NOT NULL
"""


class Readings(Store):
    """The reading part of the books."""

    def add_readings(self, readings: Mapping[tuple[Series, str, Instant], int]) -> None:
        """See ports.books."""
        number = self._packer.series.number
        self._database.execute_many(
            "INSERT INTO reading (series, meter, hour, quantity) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET quantity = quantity + excluded.quantity",
            [(number(series), meter, hour, quantity) for (series, meter, hour), quantity in readings.items()],
        )

    def unposted_readings(self, before: Instant, enough: int) -> list[Reading]:
        """See ports.books. Only where there are more than enough, all are sorted to find the contract they reach to."""
        unposted = "FROM reading CROSS JOIN series ON no = series WHERE hour < ?1 AND quantity <> posted"
        last = self._database.one(f"SELECT 1 {unposted} LIMIT 1 OFFSET ?2", (before, enough)) and self._database.one(
            f"SELECT contract {unposted} ORDER BY contract LIMIT 1 OFFSET ?2", (before, enough)
        )
        rows = self._database.rows(
            f"SELECT series, meter, hour, quantity - posted {unposted} AND (?2 IS NULL OR contract <= ?2) "
            f"ORDER BY {_ORDER}",
            (before, last and last[0]),
        )
        return list(self._readings(rows))

    def readings(self, since: Instant, until: Instant) -> Iterator[Reading]:
        """See ports.books."""
        rows = self._database.rows(
            "SELECT series, meter, hour, quantity FROM reading CROSS JOIN series ON no = series "
            f"WHERE hour >= ? AND hour < ? ORDER BY {_ORDER}",
            (since, until),
        )
        return self._readings(rows)

    def mark_posted(self, readings: Sequence[Reading]) -> None:
        """See ports.books."""
        self._database.execute_many(
            "UPDATE reading SET posted = posted + ? WHERE series = ? AND meter = ? AND hour = ?", self._marks(readings)
        )

    def pooled(self, pool: Pool) -> Pooled:
        """See ports.books."""
        row = self._database.one(
            f"SELECT posted, invoiced FROM pool WHERE ({_POOL_COLUMNS}) = (?, ?, ?, ?, ?, ?, ?)",
            msgspec.structs.astuple(pool),
        )
        return Pooled(*row) if row else Pooled()

    def save_posted_pools(self, quantities: Mapping[Pool, int]) -> None:
        """See ports.books."""
        self._save_pools("posted", quantities)

    def save_invoiced_pools(self, quantities: Mapping[Pool, int]) -> None:
        """See ports.books."""
        self._save_pools("invoiced", quantities)

    def _save_pools(self, state: str, quantities: Mapping[Pool, int]) -> None:
        self._database.execute_many(
            f"INSERT INTO pool ({_POOL_COLUMNS}, {state}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
            f"ON CONFLICT DO UPDATE SET {state} = excluded.{state}",
            [(*msgspec.structs.astuple(pool), quantity) for pool, quantity in quantities.items()],
        )

    def spending(self, contract: str, begins: Instant) -> Spending:
        """See ports.books. Amounts are text: they outgrow 64 bits, and nothing is summed here."""
        row = self._database.one(
            "SELECT charged_pico, settled_pico FROM commitment WHERE contract = ? AND begins = ?", (contract, begins)
        )
        return Spending(*map(int, row)) if row else Spending()

    def save_spending(self, contract: str, begins: Instant, spending: Spending) -> None:
        """See ports.books."""
        self._database.execute(
            "INSERT OR REPLACE INTO commitment (contract, begins, charged_pico, settled_pico) VALUES (?, ?, ?, ?)",
            (contract, begins, str(spending.charged_pico), str(spending.settled_pico)),
        )

    def expired_credit(self, contract: str, credit: str) -> int:
        """See ports.books. As text, like what is spent of a commitment."""
        row = self._database.one(
            "SELECT expired_pico FROM credit WHERE contract = ? AND credit = ?", (contract, credit)
        )
        return int(row[0]) if row else 0

    def save_expired_credit(self, contract: str, credit: str, pico: int) -> None:
        """See ports.books."""
        self._database.execute("INSERT OR REPLACE INTO credit VALUES (?, ?, ?)", (contract, credit, str(pico)))

    def uninvoiced_readings(self, contract: str, before: Instant) -> list[Reading]:
        """See ports.books."""
        rows = self._database.rows(
            "SELECT series, meter, hour, posted - invoiced FROM series CROSS JOIN reading ON series = no "
            "WHERE contract = ? AND hour < ? AND posted <> invoiced",
            (contract, before),
        )
        return sorted(self._readings(rows), key=attrgetter("hour", "series", "meter"))

    def uninvoiced_since(self) -> dict[str, Instant]:
        """See ports.books."""
        return dict(self._database.all(_UNINVOICED_SINCE))

    def mark_invoiced(self, taken: Sequence[Sequence[Reading]], invoice: str) -> None:
        """See ports.books. Readings are marked in their order, so that each page of them is visited once."""
        found = self._database.one("SELECT no FROM invoice WHERE number = ?", (invoice,))
        assert found is not None, f"invoice {invoice} is marked before it is issued"
        lines = [self._marks(readings) for readings in taken]
        self._database.execute_many(
            "UPDATE reading SET invoiced = invoiced + ? WHERE series = ? AND meter = ? AND hour = ?",
            sorted(chain.from_iterable(lines), key=itemgetter(3, 1)),
        )
        self._database.execute_many(
            "INSERT INTO invoice_reading (quantity, series, meter, hour, invoice, line) VALUES (?, ?, ?, ?, ?, ?)",
            ((*mark, found[0], line) for line, marks in enumerate(lines, start=1) for mark in marks),
        )

    def _marks(self, readings: Sequence[Reading]) -> list[Row]:
        number = self._packer.series.number
        return [(reading.quantity, number(reading.series), reading.meter, reading.hour) for reading in readings]

    def _readings(self, rows: Iterable[Row]) -> Iterator[Reading]:
        series_of = self._packer.series.key
        for number, meter, hour, quantity in rows:
            yield Reading(series=series_of(number), meter=meter, hour=hour, quantity=quantity)
