"""JSON schemas that an answer is held to: checked, and written the way the runtime follows them best.

The runtime ignores a schema it cannot compile and then writes freely. So what is known to be beyond it is refused
here by name, and the flow asks the runtime about the rest before it starts.
"""

from collections.abc import Iterator, Mapping

import msgspec

from entrepot.core.errors import InvalidRequest, UnsupportedValue

SCHEMA_BYTES_MAX = 65_536
SCHEMA_DEPTH_MAX = 32

BEYOND_US = frozenset(
    {
        "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "uniqueItems", "contains", "minContains",
        "maxContains", "propertyNames", "unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef",
    }
)  # fmt: skip

# Whose values are schemas by name: what stands there as a key is the caller's word, not a keyword.
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTED = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SINGLE = frozenset({"items", "additionalProperties"})
# Data, not schemas.
_PLAIN = frozenset({"enum", "const", "default", "examples", "required"})

# One blank after a comma and a colon and no other: a small model given free white space fills pages with it. Asked for
# any JSON object in eight ways, it ended five with free white space and seven without.
_TIGHT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def checked(schema: object, param: str) -> dict[str, object]:
    """The schema, its objects closed. Closing keeps to it: what a closed object allows, the open one allows too.

    param: where it stands in the request. Raises: InvalidRequest, UnsupportedValue.
    """
    if not isinstance(schema, dict):
        raise InvalidRequest(f"'{param}' must be a JSON object.", param=param)
    if len(msgspec.json.encode(schema)) > SCHEMA_BYTES_MAX:
        raise UnsupportedValue(f"'{param}' is longer than {SCHEMA_BYTES_MAX} bytes.", param=param)
    return _checked(schema, param, param, 0)


def to_follow(schema: Mapping[str, object]) -> str:
    """The schema as JSON text for the runtime."""
    return msgspec.json.encode({**schema, "x-guidance": _TIGHT}).decode()


def any_object() -> str:
    """The schema of any JSON object, as JSON text for the runtime."""
    return to_follow({"type": "object"})


def moved(schema: object, pointer: str) -> object:
    """The schema with its local references as they read once it stands at pointer (`#/$defs/x`) of another schema."""
    if isinstance(schema, list):
        return [moved(item, pointer) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: pointer + value[1:] if key == "$ref" and isinstance(value, str) else moved(value, pointer)
        for key, value in schema.items()
    }


def _checked(schema: dict[str, object], where: str, param: str, depth: int, closing: bool = True) -> dict[str, object]:
    if depth > SCHEMA_DEPTH_MAX:
        raise UnsupportedValue(f"'{where}' is nested deeper than {SCHEMA_DEPTH_MAX} levels.", param=param)
    _refuse_beyond(schema, where, param)
    result = dict(schema)
    # What several schemas say of one object must leave room for one another.
    combined = "allOf" in schema or (
        "properties" in schema and not schema.keys().isdisjoint({"anyOf", "oneOf", "$ref"})
    )
    for key, index, child in _children(schema):
        if not isinstance(child, dict):
            continue
        place = f"{where}.{key}" if index is None else f"{where}.{key}.{index}"
        below = _checked(child, place, param, depth + 1, closing=closing and not (combined and key in _LISTED))
        result[key] = below if index is None else _with(result[key], index, below)
    if closing and not combined and "properties" in schema and "additionalProperties" not in schema:
        result["additionalProperties"] = False
    return result


def _refuse_beyond(schema: Mapping[str, object], where: str, param: str) -> None:
    for key in schema:
        if key in BEYOND_US:
            raise UnsupportedValue(f"'{where}': the keyword '{key}' is not supported here.", param=param)
    reference = schema.get("$ref")
    if reference is not None and not (isinstance(reference, str) and reference.startswith("#")):
        raise UnsupportedValue(f"'{where}': only references inside the schema ('#/…') are followed.", param=param)


def _children(schema: Mapping[str, object]) -> Iterator[tuple[str, str | int | None, object]]:
    """Each schema below: keyword, name or place in it, the schema."""
    for key, value in schema.items():
        if key in _PLAIN:
            continue
        if key in _NAMED and isinstance(value, dict):
            yield from ((key, name, child) for name, child in value.items())
        elif key in _LISTED and isinstance(value, list):
            yield from ((key, place, child) for place, child in enumerate(value))
        elif key in _SINGLE:
            yield key, None, value


def _with(group: object, index: str | int, child: object) -> object:
    if isinstance(group, dict):
        return {**group, index: child}
    assert isinstance(group, list)
    return [child if place == index else item for place, item in enumerate(group)]
