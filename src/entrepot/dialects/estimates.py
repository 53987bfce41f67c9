"""What a request may use, before it is served: the tokens of its prompt, and how long its answer may get.

A prompt is counted as chat models frame it: its texts, three tokens around each message, one before a name and three
before the answer (OpenAI cookbook, "How to count tokens with tiktoken"); tools and schemas by the JSON they are
written in. What is no text (pictures, sound, files, an earlier response) cannot be counted here: it may fill the
context.

All streams of the process stand still while a prompt is counted, so what would take long is not: beyond more tokens
than any model takes texts are counted by their bytes, and so is the whole of a body of a hundred thousand small values.
No text has more tokens than bytes.
"""

from collections.abc import Callable
from typing import Final

from entrepot.core.estimate import Estimate
from entrepot.dialects import shortcuts
from entrepot.dialects.asked import Asked
from entrepot.dialects.estimates_wire import AnswerAsked, EstimatedBody, decode_answer_asked, decode_estimated
from entrepot.dialects.operations import Operation
from entrepot.dialects.shortcuts import has_more_values

_prompted: Final = shortcuts.prompted  # Bound once; see decisions/0009.
# What an answer is taken to be where the request does not say how long it may get.
OUTPUT_TOKENS_GUESS: Final = 1024
_ANSWERS_MAX: Final = 10_000  # More than any server gives; a counter that has held more may not be exact any more.
_LARGE: Final = 2**20  # Bytes of a body; smaller ones are decoded in 10 ms whatever they hold.
_VALUES_MAX: Final = 300_000  # Decoded in about 20 ms, and as many tokens as OpenAI takes as numbers in one request.
_IN_LISTS_MAX: Final = 300_000  # Tokens of the texts of one request that OpenAI takes, each within its context.
_PIECE: Final = 2**18  # Of a text, in characters: about a millisecond of counting.
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
    fits_context = operation.name in _ANSWERED_IN_TOKENS
    try:
        read = _read(body, _Tally(count, context_tokens if fits_context else max(context_tokens, _IN_LISTS_MAX)))
    except (ValueError, RecursionError):  # The upstream will say what is wrong with it.
        return Estimate(0, context_tokens, context_tokens, context_tokens, is_guess=True)
    prompt = min(read.tokens, context_tokens) if fits_context else read.tokens
    prompt_max = context_tokens if read.is_uncounted or asked.previous else prompt
    if not fits_context:
        return Estimate(prompt, 0, prompt_max, 0)
    said, rest = read.said, context_tokens - prompt
    longest = rest if said < 0 else min(said, rest)
    guessed = min(OUTPUT_TOKENS_GUESS, rest) if said < 0 else longest
    return Estimate(prompt, guessed * read.answers, prompt_max, longest * read.answers, said < 0)


class _Read:
    """What a body is estimated by. said: how long each of its answers may get, or -1."""

    def __init__(self, tokens: int, is_uncounted: bool, answers: int, said: int) -> None:
        self.tokens = tokens
        self.is_uncounted = is_uncounted
        self.answers = min(max(1, answers), _ANSWERS_MAX)
        self.said = said


def _read(body: bytes, tally: "_Tally") -> _Read:
    """The body, its tokens added up. Raises: ValueError, RecursionError for what is no such body."""
    if len(body) <= _LARGE:
        plain = _prompted(body)
        if plain is not None:
            texts, messages, names, answers, said = plain
            tally.messages(messages, names)
            for text in texts:
                tally.text(text)
            return _Read(tally.tokens, False, answers, said)
    asked: AnswerAsked
    if len(body) > _LARGE and has_more_values(body, _VALUES_MAX):
        asked = decode_answer_asked(body)
        tally.tokens = len(body)
    else:
        asked = estimated = decode_estimated(body)
        tally.body(estimated)
    length = asked.max_completion_tokens or asked.max_output_tokens or asked.max_tokens
    return _Read(
        tally.tokens,
        tally.is_uncounted,
        max(asked.n or 1, asked.best_of or 1),
        -1 if length is None else max(0, length),
    )


class _Tally:
    """The tokens of a body, added up. enough: beyond these a byte counts as one."""

    def __init__(self, count: Callable[[str], int], enough: int) -> None:
        self._count = count
        self._enough = enough
        self.tokens = 0
        self.is_uncounted = False

    def body(self, read: EstimatedBody) -> None:
        """Adds all of it."""
        if read.messages:
            names = sum(isinstance(message, dict) and "name" in message for message in read.messages)
            self.messages(len(read.messages), names)
            self._add(read.messages)
        for value in (read.prompt, read.input, read.instructions, read.query, read.documents):
            if value is not None:
                self._add(value)
        for raw in (read.tools, read.functions, read.response_format, read.text):
            if raw:
                self.text(bytes(raw).decode())

    def messages(self, messages: int, names: int) -> None:
        """Adds what frames so many messages, so many of which have a name."""
        if messages:
            self.tokens += _BEFORE_ANSWER + _AROUND_MESSAGE * messages + names

    def _add(self, value: object) -> None:
        """Adds the texts of a value, wherever in it they are; a number is a token, as in a prompt of such."""
        if isinstance(value, str):
            self.text(value)
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

    def text(self, text: str) -> None:
        """Adds a text."""
        while len(text) > _PIECE and self.tokens < self._enough:
            self.tokens += self._count(text[:_PIECE])
            text = text[_PIECE:]
        self.tokens += self._count(text) if self.tokens < self._enough else bytes_of(text)


def bytes_of(text: str) -> int:
    """The bytes of a text: no tokenizer that works on bytes makes more tokens of it."""
    return len(text.encode())
