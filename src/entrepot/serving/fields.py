"""Reading the fields of a request body: each is taken by name and type, and what nobody took is refused."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from entrepot.core.errors import InvalidRequest, UnsupportedValue

Value = TypeVar("Value")


def body_of(raw: bytes) -> Mapping[str, object]:
    """The JSON object of a request body. Raises: InvalidRequest."""
    try:
        value: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from error
    return _object(value, "the body")


class Fields:
    """The fields of one JSON object, null counting as absent. where: its place in the body, for messages."""

    def __init__(self, values: Mapping[str, object], where: str = "") -> None:
        self._values = values
        self._where = where
        self._taken: set[str] = set()

    def name(self, field: str) -> str:
        """The field's full name, as `messages[0].role`."""
        return f"{self._where}.{field}" if self._where else field

    def any(self, field: str) -> object:
        """The value as it stands; None when absent."""
        self._taken.add(field)
        return self._values.get(field)

    def text(self, field: str) -> str | None:
        """A string or None."""
        return self._typed(field, str, "a string")

    def flag(self, field: str) -> bool:
        """A boolean, False when absent."""
        return bool(self._typed(field, bool, "true or false"))

    def whole(self, field: str, low: int, high: int) -> int | None:
        """An integer between low and high, both allowed, or None."""
        value = self._typed(field, int, "an integer")
        if value is not None and not low <= value <= high:
            raise InvalidRequest(f"'{self.name(field)}' must be from {low} to {high}.", param=self.name(field))
        return value

    def number(self, field: str, low: float, high: float) -> float | None:
        """A number between low and high, both allowed, or None."""
        value = self.any(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidRequest(
                f"'{self.name(field)}' must be a number from {low:g} to {high:g}.", param=self.name(field)
            )
        return float(value)

    def nested(self, field: str) -> "Fields | None":
        """The fields of an object, or None."""
        value = self.any(field)
        return (
            None
            if value is None
            else Fields(_object(value, f"'{self.name(field)}'", self.name(field)), self.name(field))
        )

    def items(self, field: str) -> list[object] | None:
        """A list, or None."""
        return self._typed(field, list, "a list")

    def required(self, field: str, value: Value | None) -> Value:
        """The value, which must be there."""
        if value is None:
            raise InvalidRequest(f"Missing required parameter: '{self.name(field)}'.", param=self.name(field))
        return value

    def ignore(self, *fields: str) -> None:
        """Accepts fields that change nothing here: they describe the caller, not the answer."""
        self._taken.update(fields)

    def refuse_unless(self, field: str, *allowed: object, why: str) -> None:
        """Accepts a field only when absent or of an allowed value."""
        value = self.any(field)
        if value is not None and value not in allowed:
            raise UnsupportedValue(f"'{self.name(field)}': {why}", param=self.name(field))

    def finish(self) -> None:
        """Refuses what nobody took."""
        for field in self._values:
            if field not in self._taken and self._values[field] is not None:
                name = self.name(field)
                raise UnsupportedValue(f"Unrecognized or unsupported parameter: '{name}'.", param=name)

    def _typed(self, field: str, kind: type[Value], described: str) -> Value | None:
        value = self.any(field)
        if value is None:
            return None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InvalidRequest(f"'{self.name(field)}' must be {described}.", param=self.name(field))
        return value


def fields_of(value: object, where: str) -> Fields:
    """The fields of an object inside a list. Raises: InvalidRequest when it is none."""
    return Fields(_object(value, f"'{where}'", where), where)


def _object(value: object, described: str, param: str | None = None) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{described[0].upper()}{described[1:]} must be a JSON object.", param=param)
    return value
