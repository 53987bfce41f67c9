"""What budgets are counted from: monthly use by key, and what gateways have counted and hold."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from entrepot.adapters.sql.store import Store
from entrepot.core.charges import Series
from entrepot.core.log_records import Admitted
from entrepot.core.periods import Instant
from entrepot.ports.budgets import MonthlyUse

_admitted = msgspec.msgpack.Decoder(Admitted).decode


class Budgets(Store):
    """The part of the books that budgets are counted from."""

    def add_uses(self, uses: Mapping[tuple[str, Series, str, str], int]) -> None:
        """See ports.budgets."""
        number = self._packer.series.number
        self._database.execute_many(
            "INSERT INTO monthly_use (period, series, key, meter, quantity) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET quantity = quantity + excluded.quantity",
            [(period, number(series), key, meter, units) for (period, series, key, meter), units in uses.items()],
        )

    def uses(self, customer: str, since: str = "", until: str = "9999-12") -> list[MonthlyUse]:
        """See ports.budgets."""
        series_of = self._packer.series.key
        rows = self._database.all(
            "SELECT period, series, key, meter, quantity FROM series CROSS JOIN monthly_use ON series = no "
            "WHERE customer = ? AND period BETWEEN ? AND ? ORDER BY period, series, key, meter",
            (customer, since, until),
        )
        return [MonthlyUse(period, series_of(series), key, meter, units) for period, series, key, meter, units in rows]

    def begin_instance(self, instance: str, at: Instant) -> None:
        """See ports.budgets."""
        self._database.execute("INSERT OR IGNORE INTO instance (id, began_at) VALUES (?, ?)", (instance, at))

    def instances(self) -> list[str]:
        """See ports.budgets."""
        return [identity for (identity,) in self._database.all("SELECT id FROM instance ORDER BY id")]

    def forget_instance(self, instance: str) -> None:
        """Forgets an instance and what it has counted."""
        self._database.execute("DELETE FROM instance WHERE id = ?", (instance,))
        self._database.execute("DELETE FROM counted WHERE instance = ?", (instance,))

    def add_counted(self, instance: str, units: Mapping[str, int]) -> None:
        """See ports.budgets. Amounts are text: pico outgrow 64 bits."""
        if self._database.one("SELECT 1 FROM instance WHERE id = ?", (instance,)) is None:
            return
        for counter, count in units.items():
            row = self._database.one(
                "SELECT units FROM counted WHERE instance = ? AND counter = ?", (instance, counter)
            )
            self._database.execute(
                "INSERT OR REPLACE INTO counted (instance, counter, units) VALUES (?, ?, ?)",
                (instance, counter, str(count + (int(row[0]) if row else 0))),
            )

    def counted(self) -> dict[str, dict[str, int]]:
        """See ports.budgets."""
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for instance, counter, units in self._database.all("SELECT instance, counter, units FROM counted"):
            found[counter][instance] = int(units)
        return dict(found)

    def held(self) -> dict[str, dict[str, int]]:
        """See ports.budgets."""
        found: dict[str, dict[str, int]] = {}
        for (body,) in self._database.rows("SELECT admitted FROM open_request"):
            admitted = _admitted(body)
            for counter, units in admitted.holds:
                by_instance = found.setdefault(counter, {})
                by_instance[admitted.instance] = by_instance.get(admitted.instance, 0) + units
        return found
