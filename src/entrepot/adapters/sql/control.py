"""Declared records and where the fold stands."""

from collections.abc import Iterator

from entrepot.adapters.sql.store import Store
from entrepot.core.budgets import Budget, decode_budget, encode_budget
from entrepot.core.periods import Instant
from entrepot.core.tenancy import ApiKey
from entrepot.core.world import World, decode_world, encode_world
from entrepot.ports.books import Closing
from entrepot.ports.event_log import Position

_KEY_COLUMNS = "id, digest, project, name, created_at, revoked_at, budget, continues"


class Control(Store):
    """The control part of the books."""

    def save_world(self, at: Instant, world: World) -> int:
        """See ports.books."""
        body = encode_world(world)
        row = self._database.one("SELECT version, body FROM world ORDER BY version DESC LIMIT 1")
        version: int = row[0] if row else 0
        if row and row[1] == body:
            return version
        self._database.execute("INSERT INTO world (version, at, body) VALUES (?, ?, ?)", (version + 1, at, body))
        return version + 1

    def world(self) -> tuple[int, World] | None:
        """See ports.books."""
        row = self._database.one("SELECT version, body FROM world ORDER BY version DESC LIMIT 1")
        return (row[0], decode_world(row[1])) if row else None

    def world_at(self, at: Instant) -> World | None:
        """See ports.books."""
        row = self._database.one("SELECT body FROM world WHERE at <= ? ORDER BY version DESC LIMIT 1", (at,))
        row = row or self._database.one("SELECT body FROM world ORDER BY version LIMIT 1")
        return decode_world(row[0]) if row else None

    def worlds(self) -> Iterator[tuple[Instant, World]]:
        """See ports.books."""
        for at, body in self._database.rows("SELECT at, body FROM world ORDER BY version"):
            yield at, decode_world(body)

    def record_closing(self, closing: Closing) -> None:
        """See ports.books."""
        self._database.execute(
            "INSERT INTO closing VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET refused = excluded.refused",
            (closing.period, closing.at, closing.refused),
        )

    def closings(self, period: str | None = None) -> list[Closing]:
        """See ports.books."""
        rows = self._database.rows(
            "SELECT period, at, refused FROM closing WHERE ?1 IS NULL OR period = ?1 ORDER BY period, at", (period,)
        )
        return [Closing(*row) for row in rows]

    def save_key(self, key: ApiKey) -> None:
        """See ports.books."""
        self._database.execute(
            f"INSERT OR REPLACE INTO api_key ({_KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key.id, key.digest, key.project, key.name, key.created_at, key.revoked_at),
                *(_text_of(key.budget), key.continues),
            ),
        )

    def key(self, key_id: str) -> ApiKey | None:
        """See ports.books."""
        row = self._database.one(f"SELECT {_KEY_COLUMNS} FROM api_key WHERE id = ?", (key_id,))
        return _key(*row) if row else None

    def keys(self) -> list[ApiKey]:
        """See ports.books."""
        return [_key(*row) for row in self._database.rows(f"SELECT {_KEY_COLUMNS} FROM api_key ORDER BY id")]

    def position(self) -> Position:
        """See ports.books."""
        return Position(self._state("segment"), self._state("offset"))

    def save_position(self, position: Position) -> None:
        """See ports.books."""
        self._database.execute_many(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
            [("segment", position.segment), ("offset", position.offset)],
        )

    def recovery_point(self) -> str | None:
        """See ports.books."""
        row = self._database.one("SELECT point FROM recovery_point")
        return row[0] if row else None

    def save_recovery_point(self, point: str | None) -> None:
        """See ports.books."""
        self._database.execute("DELETE FROM recovery_point")
        if point is not None:
            self._database.execute("INSERT INTO recovery_point (point) VALUES (?)", (point,))

    def watermark(self) -> Instant:
        """See ports.books."""
        return self._state("watermark")

    def save_watermark(self, at: Instant) -> None:
        """See ports.books."""
        self._raise_state("watermark", at)

    def units_through(self) -> Instant:
        """See ports.books."""
        return self._state("units_through")

    def save_units_through(self, at: Instant) -> None:
        """See ports.books."""
        self._raise_state("units_through", at)

    def _raise_state(self, name: str, value: int) -> None:
        self._database.execute(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
            (name, value),
        )

    def _state(self, name: str) -> int:
        row = self._database.one("SELECT value FROM state WHERE name = ?", (name,))
        return row[0] if row else 0


def _key(
    identifier: str,
    digest: str,
    project: str,
    name: str,
    created_at: Instant,
    revoked_at: Instant,
    budget: str,
    continues: str,
) -> ApiKey:
    declared = decode_budget(budget) if budget else None
    return ApiKey(identifier, digest, project, name, created_at, revoked_at, declared, continues)


def _text_of(budget: Budget | None) -> str:
    return "" if budget is None else encode_budget(budget).decode()
