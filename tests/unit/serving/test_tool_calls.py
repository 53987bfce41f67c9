"""Tools are offered by a rule anybody can follow, and calls are read back as they were written."""

import json
from typing import Any

import pytest

from entrepot.core.errors import EntrepotError
from entrepot.serving.fields import Fields
from entrepot.serving.tool_calls import call_schema, instructions, offered, read_tools, written_call


def tool(name: str, description: str = "", **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


WEATHER = tool("get_weather", "Current weather of a city", type="object", properties={"city": {"type": "string"}})
ORDERS = tool("searchOrders", "Find orders of a customer", type="object", properties={"order_id": {"type": "integer"}})
EMAIL = tool("send_email", "Send an email", type="object", properties={"to": {"type": "string"}})


def offers(said: str | None, choice: object = None, *tools: dict[str, Any]) -> list[str]:
    wish = read_tools(Fields({"tools": list(tools or (WEATHER, ORDERS, EMAIL)), "tool_choice": choice}))
    return [item.name for item in offered(wish, said)]


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("What is the weather in Paris?", ["get_weather"]),
        ("Use the tool to tell me the weather.", ["get_weather"]),
        ("Where is my order 4711?", ["searchOrders"]),
        ("Please mail bob", ["send_email"]),
        ("get_weather", ["get_weather"]),
        ("Write a short sentence about the sea.", []),
        ("Can you help me find a text?", []),
        ("Hi!", []),
        ("", []),
        (None, []),
    ],
)
def test_auto_goes_by_shared_words(said: str | None, names: list[str]) -> None:
    assert offers(said) == offers(said, "auto") == names


def test_words_of_other_scripts_count_too() -> None:
    assert offers("请告诉我巴黎的天气", None, tool("tq", "天气")) == ["tq"]
    assert offers("Quelle est la météo à Paris ?", None, tool("m", "Météo d'une ville")) == ["m"]


def test_required_offers_what_fits_or_else_all() -> None:
    assert offers("Where is my order?", "required") == ["searchOrders"]
    assert offers("Hi!", "required") == ["get_weather", "searchOrders", "send_email"]
    assert offers(None, "required") == ["get_weather", "searchOrders", "send_email"]


def test_none_offers_nothing_and_a_name_only_its_own() -> None:
    assert offers("What is the weather?", "none") == []
    assert offers("What is the weather?", {"type": "function", "function": {"name": "send_email"}}) == ["send_email"]


def test_the_schema_allows_one_call_of_the_offered() -> None:
    nested = tool("tree", type="object", properties={"root": {"$ref": "#/$defs/node"}})
    nested["function"]["parameters"]["$defs"] = {"node": {"type": "object", "properties": {"up": {"$ref": "#"}}}}
    wish = read_tools(Fields({"tools": [WEATHER, nested]}))
    schema = json.loads(call_schema(wish.tools))
    assert [call["properties"]["name"]["const"] for call in schema["anyOf"]] == ["get_weather", "tree"]
    assert [call["properties"]["arguments"]["$ref"] for call in schema["anyOf"]] == ["#/$defs/0", "#/$defs/1"]
    assert schema["$defs"]["0"]["additionalProperties"] is False
    moved = schema["$defs"]["1"]
    assert moved["properties"]["root"]["$ref"] == "#/$defs/1/$defs/node"
    assert moved["$defs"]["node"]["properties"]["up"]["$ref"] == "#/$defs/1"


def test_the_model_is_told_of_the_offered_tools() -> None:
    said = instructions(read_tools(Fields({"tools": [WEATHER]})).tools)
    assert '"name":"get_weather"' in said
    assert '<tool_call>{"name": "function name", "arguments": {...}}' in said


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('{"name": "f", "arguments": {"a": "}"}}', ("f", '{"a": "}"}')),
        ('{"name": "f", "arguments": {}}', ("f", "{}")),
        ('{"name": "f", "arguments": {"a": "b', ("f", '{"a": "b')),
        ('{"name": "f", "arguments": {"a": 1}', ("f", '{"a": 1}')),
    ],
)
def test_a_call_is_read_back_whole_or_cut(text: str, call: tuple[str, str]) -> None:
    written = written_call(text)
    assert written is not None
    assert (written.name, written.arguments) == call


def test_a_call_without_its_name_is_none() -> None:
    assert written_call('{"name": "get_we') is None
    assert written_call("") is None


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [WEATHER, WEATHER]}, "tools"),
        ({"tools": [tool(f"t{number}") for number in range(65)]}, "tools"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [tool("with blank")]}, "tools[0].function.name"),
        ({"tools": [tool("f", type="object", properties={"x": {"not": {}}})]}, "tools[0].function.parameters"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tools": [WEATHER], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ],
)
def test_tools_that_cannot_be_honoured_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(EntrepotError) as refused:
        read_tools(Fields(fields))
    assert refused.value.param == param


def test_no_tools_no_calls() -> None:
    assert offered(read_tools(Fields({})), "weather") == ()
    assert offered(read_tools(Fields({"tools": []})), "weather") == ()
