"""Token counts of answers that no upstream has counted: rough, from bytes, and never shown as exact."""

import msgspec

from entrepot.dialects.prompt_estimates import BYTES_PER_TOKEN


class _Message(msgspec.Struct, gc=False):
    content: str | None = None
    refusal: str | None = None
    tool_calls: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    text: str | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


def estimate_answer(body: bytes) -> int:
    """The tokens of a whole answer's text by its size, rounded up; 0 where it has none, as embeddings."""
    try:
        choices = _decode_answer(body).choices or ()
    except (ValueError, RecursionError):
        return 0
    size = sum(_text_bytes(choice) for choice in choices)
    return -(-size // BYTES_PER_TOKEN)


def _text_bytes(choice: _Choice) -> int:
    size = len((choice.text or "").encode())
    if choice.message is not None:
        words = (choice.message.content or "") + (choice.message.refusal or "")
        size += len(words.encode()) + len(bytes(choice.message.tool_calls))
    return size
