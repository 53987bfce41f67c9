"""What a request is estimated by, as it is read of its body. Apart from the estimates, which are compiled."""

from typing import Any

import msgspec


class AnswerAsked(msgspec.Struct, gc=False):
    """How much of an answer a request asks for."""

    max_completion_tokens: int | None = None
    max_tokens: int | None = None
    max_output_tokens: int | None = None
    n: int | None = None
    best_of: int | None = None


class EstimatedBody(AnswerAsked, gc=False):
    """What counts of a request. The same for all that are JSON."""

    messages: list[Any] = []
    prompt: Any = None
    input: Any = None
    instructions: Any = None
    query: Any = None
    documents: Any = None
    tools: msgspec.Raw = msgspec.Raw(b"")
    functions: msgspec.Raw = msgspec.Raw(b"")
    response_format: msgspec.Raw = msgspec.Raw(b"")
    text: msgspec.Raw = msgspec.Raw(b"")


decode_estimated = msgspec.json.Decoder(EstimatedBody).decode
decode_answer_asked = msgspec.json.Decoder(AnswerAsked).decode
