"""Holds JSON to the schemas of an OpenAPI description, as far as its schemas of usage and costs go."""

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def disagreements(value: Any, schema: Mapping[str, Any], known: Mapping[str, Any], at: str = "$") -> Iterator[str]:
    """Where a value is not as its schema says, members that the schema does not name among it."""
    if "$ref" in schema:
        yield from disagreements(value, known[schema["$ref"].rpartition("/")[2]], known, at)
        return
    for one_of in (schema.get("anyOf"), schema.get("oneOf")):
        if one_of is not None:
            found = [list(disagreements(value, choice, known, at)) for choice in one_of]
            if all(found):
                yield min(found, key=len)[0]
            return
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, _TYPES[kind]) or (kind != "boolean" and isinstance(value, bool))):
        yield f"{at} is {value!r}, not of type {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} is {value!r}, not one of {schema['enum']}"
    yield from _in_parts(value, schema, known, at)


def _in_parts(value: Any, schema: Mapping[str, Any], known: Mapping[str, Any], at: str) -> Iterator[str]:
    if isinstance(value, dict):
        members = schema.get("properties", {})
        yield from (f"{at} lacks {name}" for name in schema.get("required", ()) if name not in value)
        for name, member in value.items():
            if name not in members:
                yield f"{at} has {name}, which is not described"
            else:
                yield from disagreements(member, members[name], known, f"{at}.{name}")
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from disagreements(item, schema["items"], known, f"{at}[{number}]")
