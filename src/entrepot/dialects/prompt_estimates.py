"""Token counts of prompts, before an upstream has counted: rough, from bytes, and never shown as exact.

Four bytes of text a token, the usual figure for English; other languages have more tokens to a byte.
"""

from typing import Final

BYTES_PER_TOKEN: Final = 4


def estimate_prompt(size: int, context_tokens: int) -> int:
    """The tokens of a prompt by the bytes of its request; no more than fit the context."""
    return min(size // BYTES_PER_TOKEN, context_tokens)


def estimate_texts(size: int) -> int:
    """The same of a list of texts, each of which may fill the context."""
    return size // BYTES_PER_TOKEN
