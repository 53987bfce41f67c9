"""Tools: read, offered to the model, and its call read back.

The model writes `{"name": …, "arguments": …}` under a schema made of the offered tools. A model of this size cannot
judge whether to call: asked in five different ways it chose rightly 7 to 12 times of 18, and never called by itself.
So with `tool_choice` auto we decide by words: after a message from the user, the tools that share a word with it are
offered and one of them is called; when none does, or a tool has just answered, the model writes text. One call an
answer at most.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from entrepot.core.errors import InvalidRequest, UnsupportedValue
from entrepot.serving import json_schemas
from entrepot.serving.fields import Fields, fields_of

TOOLS_MAX = 64
OPENING = "<tool_call>"

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_HUMP = re.compile(r"([a-z])([A-Z])")
_WORD = re.compile(r"[^\W\d_]+")
_WRITTEN = re.compile(r'\{"name": "([A-Za-z0-9_-]{1,64})", "arguments": (.*)', re.DOTALL)

# Words that say nothing about what a tool is for.
_COMMON = frozenset(
    """
    the and for with from into that this these those are was has have can could would will you your our its any all
    each get set use using used tool function call find make give tell show please help want need what which who
    when where how name value text string number list data result return returns input output about not one two new
    user given let put today right thing just some
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the caller offers. parameters: its arguments' schema, checked."""

    name: str
    description: str
    parameters: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolWish:
    """The tools and when to call one. named: the only tool that may be called."""

    tools: tuple[Tool, ...] = ()
    when: Literal["none", "auto", "required"] = "none"
    named: str | None = None


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """A call as the model wrote it. arguments: JSON text, cut short when the answer was."""

    name: str
    arguments: str


def read_tools(fields: Fields) -> ToolWish:
    """`tools` and `tool_choice` of a request. Raises: InvalidRequest, UnsupportedValue."""
    items = fields.items("tools") or []
    if len(items) > TOOLS_MAX:
        raise UnsupportedValue(f"'tools' may name up to {TOOLS_MAX}.", param="tools")
    tools = tuple(_tool(item, f"tools[{place}]") for place, item in enumerate(items))
    if len({tool.name for tool in tools}) < len(tools):
        raise InvalidRequest("'tools' has two functions of one name.", param="tools")
    fields.flag("parallel_tool_calls")  # Never more than one call comes, which both values allow.
    return _wish(fields.any("tool_choice"), tools)


def offered(wish: ToolWish, said_last: str | None) -> tuple[Tool, ...]:
    """The tools of which one is to be called now; none: the model writes text.

    said_last: the last message when it is the user's, else None.
    """
    if wish.when == "none":
        return ()
    if wish.named is not None:
        return tuple(tool for tool in wish.tools if tool.name == wish.named)
    said = _words(said_last or "")
    fitting = tuple(tool for tool in wish.tools if _share_a_word(said, _words_of(tool)))
    return fitting or (wish.tools if wish.when == "required" else ())


def instructions(tools: Sequence[Tool]) -> str:
    """What the system message says about the offered tools."""
    lines = [
        _tight({"name": tool.name, "description": tool.description, "parameters": tool.parameters}) for tool in tools
    ]
    return "\n".join(
        [
            "You can call these functions:",
            *lines,
            "",
            f'To call a function answer only with {OPENING}{{"name": "function name", "arguments": {{...}}}}',
        ]
    )


def call_schema(tools: Sequence[Tool]) -> str:
    """The schema of a call to one of the tools, as JSON text for the runtime."""
    calls = []
    for place, tool in enumerate(tools):
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": {"$ref": f"#/$defs/{place}"}},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    parameters = {str(n): json_schemas.moved(tool.parameters, f"#/$defs/{n}") for n, tool in enumerate(tools)}
    return json_schemas.to_follow({"anyOf": calls, "$defs": parameters})


def written_call(text: str) -> WrittenCall | None:
    """The call in the model's text; None when it was cut before the name was whole."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    name, rest = found.groups()
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return WrittenCall(name, rest)
    return WrittenCall(name, rest.rstrip()[:-1])


def call_text(name: str, arguments: str) -> str:
    """A call of the history as the model would have written it."""
    return f'{OPENING}{{"name": "{name}", "arguments": {arguments or "{}"}}}'


def _tool(item: object, where: str) -> Tool:
    tool = fields_of(item, where)
    if tool.text("type") != "function":
        raise UnsupportedValue(f"'{where}.type' must be 'function'.", param=f"{where}.type")
    function = tool.required("function", tool.nested("function"))
    tool.finish()
    name = function.required("name", function.text("name"))
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            f"'{where}.function.name' must be 1 to 64 of a-z, A-Z, 0-9, _ and -.", param=function.name("name")
        )
    parameters = function.any("parameters") or {"type": "object", "properties": {}}
    function.flag("strict")  # Calls are held to the schema either way.
    described = function.text("description") or ""
    function.finish()
    return Tool(name, described, json_schemas.checked(parameters, function.name("parameters")))


def _wish(choice: object, tools: tuple[Tool, ...]) -> ToolWish:
    if choice is None:
        return ToolWish(tools, "auto" if tools else "none")
    if not tools:
        raise InvalidRequest("'tool_choice' is only allowed when 'tools' are given.", param="tool_choice")
    if choice in {"none", "auto", "required"} if isinstance(choice, str) else False:
        return ToolWish(tools, choice)  # type: ignore[arg-type]
    if isinstance(choice, dict) and choice.get("type") == "function" and isinstance(choice.get("function"), dict):
        name = choice["function"].get("name")
        if name not in {tool.name for tool in tools}:
            raise InvalidRequest(f"'tool_choice' names {name!r}, which is not in 'tools'.", param="tool_choice")
        return ToolWish(tools, "required", name)
    raise UnsupportedValue("'tool_choice' must be none, auto, required or one function by name.", param="tool_choice")


def _share_a_word(said: frozenset[str], own: frozenset[str]) -> bool:
    return any(a == b or _one_holds_the_other(*sorted((a, b), key=len)) for a in said for b in own)


def _one_holds_the_other(short: str, long: str) -> bool:
    if not short.isascii():  # Written without blanks between words, perhaps.
        return len(short) > 1 and short in long
    return len(short) > 3 and (long.startswith(short) or long.endswith(short))


def _words_of(tool: Tool) -> frozenset[str]:
    properties = tool.parameters.get("properties")
    names = properties.keys() if isinstance(properties, dict) else ()
    return _words(" ".join([tool.name, tool.description, *names]))


def _words(text: str) -> frozenset[str]:
    found = {word.lower() for word in _WORD.findall(_HUMP.sub(r"\1 \2", text))} - _COMMON
    return frozenset(word.removesuffix("s") for word in found if len(word) > 2 or not word.isascii()) - _COMMON


def _tight(value: object) -> str:
    return msgspec.json.encode(value).decode()
