"""Schemas: checked, closed, and refused by name where the runtime cannot hold to them."""

import json
import re
from typing import Any

import pytest

from entrepot.core.errors import EntrepotError
from entrepot.serving.json_schemas import BEYOND_US, checked, moved, to_follow


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def test_objects_are_closed_all_the_way_down() -> None:
    schema = checked({**obj(a=obj(b={})), "$defs": {"c": obj()}, "anyOf": []}, "s")
    assert "additionalProperties" not in schema  # anyOf speaks of the same object.
    assert schema["properties"]["a"]["additionalProperties"] is False  # type: ignore[index]
    assert schema["$defs"]["c"]["additionalProperties"] is False  # type: ignore[index]
    assert checked(obj(), "s")["additionalProperties"] is False
    assert checked({**obj(), "additionalProperties": True}, "s")["additionalProperties"] is True
    assert "additionalProperties" not in checked({"type": "object"}, "s")


def test_what_several_schemas_say_of_one_object_stays_open() -> None:
    parts = checked({"allOf": [obj(a={}), obj(b={})]}, "s")["allOf"]
    assert all("additionalProperties" not in part for part in parts)  # type: ignore[attr-defined]
    either = checked({"anyOf": [obj(a={}), {"type": "null"}]}, "s")["anyOf"]
    assert either[0]["additionalProperties"] is False  # type: ignore[index]


def test_the_callers_own_words_are_no_keywords() -> None:
    named = obj(**{"not": {"type": "string"}, "if": {"enum": ["then"]}, "properties": obj(contains={})})
    assert checked(named, "s")["properties"].keys() == {"not", "if", "properties"}  # type: ignore[attr-defined]
    assert checked({"const": {"not": 1}}, "s") == {"const": {"not": 1}}


@pytest.mark.parametrize("keyword", sorted(BEYOND_US))
def test_a_keyword_beyond_the_runtime_is_refused_where_it_stands(keyword: str) -> None:
    with pytest.raises(EntrepotError, match=f"'s.items.properties.x': the keyword '{re.escape(keyword)}'") as refused:
        checked({"items": obj(x={keyword: {}})}, "s")
    assert refused.value.param == "s"


@pytest.mark.parametrize(
    "schema",
    [
        "no object",
        None,
        {"$ref": "https://example.org/x"},
        {"anyOf": [{"$ref": 5}]},
        {"enum": ["x" * 70_000]},
    ],
)
def test_what_cannot_be_followed_is_refused(schema: object) -> None:
    with pytest.raises(EntrepotError) as refused:
        checked(schema, "s")
    assert refused.value.param == "s"


def test_nesting_has_an_end() -> None:
    schema: dict[str, Any] = {}
    for _ in range(40):
        schema = {"items": schema}
    with pytest.raises(EntrepotError, match="deeper"):
        checked(schema, "s")


def test_references_move_with_their_schema() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#"}}}, "enum": ["#"], "x": {"$ref": {"odd": 1}}}
    assert moved(schema, "#/$defs/0") == {
        "$ref": "#/$defs/0/$defs/a",
        "$defs": {"a": {"items": {"$ref": "#/$defs/0"}}},
        "enum": ["#"],
        "x": {"$ref": {"odd": 1}},
    }


def test_the_text_for_the_runtime_keeps_the_order_of_properties() -> None:
    text = to_follow(checked({**obj(z={}, a={}), "required": ["z", "a"]}, "s"))
    assert list(json.loads(text)["properties"]) == ["z", "a"]
    assert json.loads(text)["x-guidance"]["whitespace_flexible"] is False
