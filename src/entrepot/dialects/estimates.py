"""What a request may use, before it is served: the tokens of its prompt, and how long its answer may get.

A prompt is counted as chat models frame it: its texts, three tokens around each message, one before a name and three
before the answer (OpenAI cookbook, "How to count tokens with tiktoken"); tools and schemas by the JSON they are
written in. What is no text (pictures, sound, files, an earlier response) cannot be counted here: it may fill the
context.
"""

from collections.abc import Callable
from typing import Final

from entrepot.core.capacity import Estimate
from entrepot.dialects.asked import Asked
from entrepot.dialects.estimates_wire import EstimatedBody, decode_estimated
from entrepot.dialects.operations import Operation

# What an answer is taken to be where the request does not say how long it may get.
OUTPUT_TOKENS_GUESS: Final = 1024
_ANSWERS_MAX: Final = 10_000  # More than any server gives; a counter that has held more may not be exact any more.
_AROUND_MESSAGE = 3
_BEFORE_ANSWER = 3
_ANSWERED_IN_TOKENS = frozenset({"chat", "completions", "responses", "compact_response"})
_READ = frozenset({"chat", "completions", "responses", "compact_response", "embeddings", "moderations", "rerank"})
_NO_TEXT = frozenset(
    {"image_url", "input_audio", "audio", "file", "file_id", "file_url", "file_data", "encrypted_content"}
)
_SAYS_NOTHING = frozenset({"type", "id", "detail", "status", "call_id", "tool_call_id"})


def estimate_of(
    operation: Operation, asked: Asked, body: bytes, context_tokens: int, count: Callable[[str], int]
) -> Estimate:
    """The estimate of a request. count: the tokens of a text, or no less than there are."""
    if operation.name not in _READ:
        return Estimate(operation.estimate(asked.size, context_tokens), 0, context_tokens, context_tokens)
    tally = _Tally(count)
    try:
        read = decode_estimated(body)
        tally.body(read)
    except (ValueError, RecursionError):  # The upstream will say what is wrong with it.
        return Estimate(0, context_tokens, context_tokens, context_tokens, is_guess=True)
    fits_context = operation.name in _ANSWERED_IN_TOKENS
    prompt = min(tally.tokens, context_tokens) if fits_context else tally.tokens
    prompt_max = context_tokens if tally.is_uncounted or asked.previous else prompt
    if not fits_context:
        return Estimate(prompt, 0, prompt_max, 0)
    answers = min(max(1, read.n or 1, read.best_of or 1), _ANSWERS_MAX)
    said = read.max_completion_tokens or read.max_output_tokens or read.max_tokens
    rest = max(0, context_tokens - prompt)
    longest = rest if said is None else max(0, min(said, rest))
    guessed = min(OUTPUT_TOKENS_GUESS, rest) if said is None else longest
    return Estimate(prompt, guessed * answers, prompt_max, longest * answers, is_guess=said is None)


class _Tally:
    """The tokens of a body, added up."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self.tokens = 0
        self.is_uncounted = False

    def body(self, read: EstimatedBody) -> None:
        """Adds all of it."""
        if read.messages:
            self.tokens += _BEFORE_ANSWER + _AROUND_MESSAGE * len(read.messages)
            self.tokens += sum(isinstance(message, dict) and "name" in message for message in read.messages)
            self._add(read.messages)
        for value in (read.prompt, read.input, read.instructions, read.query, read.documents):
            if value is not None:
                self._add(value)
        for raw in (read.tools, read.functions, read.response_format, read.text):
            if raw:
                self.tokens += self._count(bytes(raw).decode())

    def _add(self, value: object) -> None:
        """Adds the texts of a value, wherever in it they are; a number is a token, as in a prompt of such."""
        if isinstance(value, str):
            self.tokens += self._count(value)
        elif isinstance(value, list):
            for item in value:
                self._add(item)
        elif isinstance(value, dict):
            for key, item in value.items():
                if key in _NO_TEXT:
                    self.is_uncounted = True
                elif key not in _SAYS_NOTHING:
                    self._add(item)
        elif isinstance(value, int):
            self.tokens += 1


def bytes_of(text: str) -> int:
    """The bytes of a text: no tokenizer that works on bytes makes more tokens of it."""
    return len(text.encode())
