"""By what requests are kept at one upstream, so that it finds their beginning in its prompt cache."""

from collections.abc import Callable

import msgspec

from entrepot.core.upstream_rules import Sticky
from entrepot.dialects.asked import Asked

PROMPT_BYTES = 1024  # Where prompt caches begin to pay: OpenAI's needs 1,024 tokens, model servers a block of a few.

_decode_text: Callable[[msgspec.Raw], str | None] = msgspec.json.Decoder(str | None).decode


def cache_key(asked: Asked, sticky: Sticky) -> bytes:
    """What requests of one prompt cache have in common, or b"".

    `prompt_cache_key`, which OpenAI made for it; else `user`, which it took for it before; `safety_identifier` names a
    person and says nothing of prompts. With sticky "prompt", the beginning of the prompt where neither is given.
    """
    if sticky == "none":
        return b""
    fields = asked.all_fields()
    for name in ("prompt_cache_key", "user"):
        raw = fields.get(name)
        if raw is not None:
            try:
                text = _decode_text(raw)
            except msgspec.DecodeError:
                continue  # The upstream will say what is wrong with it.
            if text:
                return text.encode()
    if sticky == "key":
        return b""
    prompt = fields.get("messages") or fields.get("prompt") or fields.get("input")
    return b"" if prompt is None else bytes(prompt)[:PROMPT_BYTES]
