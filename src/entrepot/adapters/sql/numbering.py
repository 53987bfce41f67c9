"""Small integers for what repeats in every row."""

from typing import Generic, TypeVar

from entrepot.adapters.sql.database import Database, Row

KNOWN_MAX = 200_000  # Keys remembered; labels in usage are free text, so there may be any number of them.

T = TypeVar("T")


class Numbering(Generic[T]):
    """The rows of a table of (no, columns…), each numbered when it is first met. Subclasses say how T is a row."""

    def __init__(self, database: Database, table: str, columns: str) -> None:
        self._database = database
        self._numbers: dict[T, int] = {}
        self.known = self._numbers.get  # The number of a key that is remembered, else None.
        self._keys: dict[int, T] = {}
        names = columns.split(", ")
        where = " AND ".join(f"{name} = ?" for name in names)
        self._find = f"SELECT no FROM {table} WHERE {where}"
        self._insert = f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))})"
        self._read = f"SELECT {columns} FROM {table} WHERE no = ?"
        database.on_rollback.append(self.forget)

    def to_row(self, key: T) -> Row:
        """The columns of a key."""
        raise NotImplementedError

    def of_row(self, row: Row) -> T:
        """The key of the columns."""
        raise NotImplementedError

    def number(self, key: T) -> int:
        """The number of a key, which gets one if it has none."""
        known = self._numbers.get(key)
        if known is None:
            row = self.to_row(key)
            if self._database.one(self._find, row) is None:
                self._database.execute(self._insert, row)
            found = self._database.one(self._find, row)
            assert found is not None
            known = self._remember(key, found[0])
        return known

    def key(self, number: int) -> T:
        """The key of a number; an unknown one is a bug."""
        known = self._keys.get(number)
        if known is None:
            row = self._database.one(self._read, (number,))
            assert row is not None, f"nothing has the number {number}"
            known = self.of_row(row)
            self._remember(known, number)
        return known

    def forget(self) -> None:
        """Drops what is remembered, because a rollback may have undone it."""
        self._numbers.clear()
        self._keys.clear()

    def _remember(self, key: T, number: object) -> int:
        assert isinstance(number, int)
        if len(self._numbers) >= KNOWN_MAX:
            self.forget()
        self._numbers[key] = number
        self._keys[number] = key
        return number
