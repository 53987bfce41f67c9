"""Conversations as the model reads them: ChatML, the format SmolLM2 was trained on.

`<|im_start|>role\\ntext<|im_end|>\\n` for each message, then the opening of the answer. The markers are parts of
their own, so a caller's text that spells one is read as the letters it is made of.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from entrepot.core.errors import InvalidRequest, UnsupportedValue
from entrepot.ports.model_engine import PromptPart
from entrepot.serving.fields import Fields, fields_of
from entrepot.serving.tool_calls import call_text

Role = Literal["system", "user", "assistant", "tool"]

_START = PromptPart("<|im_start|>", marker=True)
_END = PromptPart("<|im_end|>", marker=True)
_BREAK = PromptPart("\n")

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. calls: of an assistant, as the model writes them. answers: of a tool, the function's name."""

    role: Role
    text: str
    calls: tuple[str, ...] = ()
    answers: str = ""


def read_messages(fields: Fields) -> tuple[Message, ...]:
    """`messages` of a request. Raises: InvalidRequest, UnsupportedValue."""
    items = fields.required("messages", fields.items("messages"))
    if not items:
        raise InvalidRequest("'messages' must not be empty.", param="messages")
    called: dict[str, str] = {}
    return tuple(_message(fields_of(item, f"messages[{place}]"), called) for place, item in enumerate(items))


def said_last(messages: Sequence[Message]) -> str | None:
    """The last message's text when it is the user's, else None."""
    return messages[-1].text if messages[-1].role == "user" else None


def chat_prompt(
    messages: Sequence[Message], *, system_prompt: str, instructions: str = "", opening: str = ""
) -> tuple[PromptPart, ...]:
    """The prompt of a conversation.

    system_prompt: used when the caller begins with none. instructions: added to the first system message.
    opening: what the answer has to begin with.
    """
    if messages[0].role != "system":
        messages = [Message("system", system_prompt), *messages]
    if instructions:
        first = messages[0]
        messages = [Message("system", f"{first.text}\n\n{instructions}"), *messages[1:]]
    parts = [part for message in messages for part in _turn(message)]
    return (*parts, _START, PromptPart(f"assistant\n{opening}"))


def _turn(message: Message) -> Iterator[PromptPart]:
    role, text = message.role, message.text
    if role == "tool":
        # The model knows no such role; a user who reports the result is the nearest it has seen.
        role, text = "user", f"Result of {message.answers}:\n{text}"
    written = "\n".join(filter(None, [text, *message.calls]))
    yield from (_START, PromptPart(f"{role}\n{written}"), _END, _BREAK)


def _message(fields: Fields, called: dict[str, str]) -> Message:
    asked = fields.required("role", fields.text("role"))
    role = _ROLES.get(asked)
    if role is None:
        raise UnsupportedValue(f"'{fields.name('role')}': {asked!r} is not supported.", param=fields.name("role"))
    calls = _calls(fields, called) if role == "assistant" else ()
    content = fields.any("content")
    if content is None and not calls:
        fields.required("content", content)
    text = "" if content is None else _text(content, fields.name("content"))
    answers = _answered(fields, called) if role == "tool" else ""
    fields.ignore("name", "refusal", "annotations")
    fields.refuse_unless("audio", why="this model takes and gives text only.")
    fields.refuse_unless("function_call", why="it is replaced by 'tool_calls'.")
    fields.finish()
    return Message(role, text, calls, answers)


def _text(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"'{where}' must be a string or a list of parts.", param=where)
    return "".join(_part(fields_of(part, f"{where}[{place}]")) for place, part in enumerate(content))


def _part(part: Fields) -> str:
    kind = part.required("type", part.text("type"))
    if kind not in {"text", "refusal"}:
        raise UnsupportedValue(f"'{part.name('type')}': this model reads text, not {kind!r}.", param=part.name("type"))
    text = part.required(kind, part.text(kind))
    part.ignore("prompt_cache_breakpoint")
    part.finish()
    return text


def _calls(fields: Fields, called: dict[str, str]) -> tuple[str, ...]:
    """The calls of an assistant's turn as text; their ids and names go to called."""
    written = []
    for place, item in enumerate(fields.items("tool_calls") or []):
        call = fields_of(item, f"{fields.name('tool_calls')}[{place}]")
        call.refuse_unless("type", "function", why="only functions are supported.")
        function = call.required("function", call.nested("function"))
        name = function.required("name", function.text("name"))
        written.append(call_text(name, function.text("arguments") or ""))
        called[call.required("id", call.text("id"))] = name
    return tuple(written)


def _answered(fields: Fields, called: dict[str, str]) -> str:
    call = fields.required("tool_call_id", fields.text("tool_call_id"))
    if call not in called:
        where = fields.name("tool_call_id")
        raise InvalidRequest(f"'{where}': no earlier message called a tool with id {call!r}.", param=where)
    return called[call]
