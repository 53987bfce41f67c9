"""What an answer says of itself, and how the answers of an operation are read for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from entrepot.dialects.asked import Known

Counts = dict[str, int]

NOTHING_ELSE: Final[Counts] = {}

MIB = 2**20


class Said:
    """What an answer or one of its events says. See relay.usage_tap.Said.

    usage: the usage object verbatim, or b""; also: by meter, what was used beside it; meters: the usage object's, where
    they were read along with it. tier: the tier of service it was served at, or "".
    """

    __slots__ = ("also", "finish", "has_content", "is_last", "is_usage_only", "meters", "tier", "usage")

    def __init__(
        self,
        usage: bytes = b"",
        finish: str = "",
        has_content: bool = False,
        is_usage_only: bool = False,
        is_last: bool = False,
        also: Counts = NOTHING_ELSE,
        meters: Counts | None = None,
        tier: str = "",
    ) -> None:
        self.usage = usage
        self.finish = finish
        self.has_content = has_content
        self.is_usage_only = is_usage_only
        self.is_last = is_last
        self.also = also
        self.meters = meters
        self.tier = tier


def present(raw: msgspec.Raw) -> bytes:
    """A field as it was written, or b"" for null."""
    value = bytes(raw)
    return b"" if value == b"null" else value


def plain_text(raw: msgspec.Raw) -> str:
    """A text without escapes, as names are; "" for anything else."""
    value = bytes(raw)
    is_text = len(value) > 1 and value.startswith(b'"') and value.isascii() and b"\\" not in value
    return value[1:-1].decode() if is_text else ""


# ---- what is booked of an answer without usage, of: the request's own counts, its prompt's tokens as estimated, and
# what was counted of the answer


def in_tokens(counts: Known, prompt_tokens: int, counted: int) -> Counts:
    """Tokens. What has no output has no price for it, so nothing of it is written."""
    del counts
    return {"input_tokens": prompt_tokens, "output_tokens": counted} if counted else {"input_tokens": prompt_tokens}


def as_asked(counts: Known, prompt_tokens: int, counted: int) -> Counts:
    """What was known from the request."""
    del prompt_tokens, counted
    return dict(counts)


def as_answered(counts: Known, prompt_tokens: int, counted: int) -> Counts:
    """What the answer holds, in the meter of the request."""
    del prompt_tokens
    return dict.fromkeys((meter for meter, _ in counts), counted)


def as_told(counts: Known, prompt_tokens: int, counted: int) -> Counts:
    """What the answer says, or else what was known from the request."""
    return as_answered(counts, prompt_tokens, counted) if counted else dict(counts)


def nothing_counted(body: bytes) -> int:
    """0: of the answer itself nothing is counted."""
    del body
    return 0


def no_event(data: bytes) -> Said:
    """Nothing: such answers are no streams."""
    del data
    return Said()


@dataclass(frozen=True, slots=True)
class Answers:
    """How an operation's answers are read.

    whole: what a whole answer says, None when it is junk. meters_of: usage object -> meters, or UsageMismatch.
    count: of a whole answer without usage, what is counted of it. book: see above.
    marks, event: of its streams, see relay.usage_tap. may_be_text: a whole answer may be text, which says nothing.
    relays_bytes: what is no JSON is relayed as it comes. event_bytes_max: of an event of a stream.
    """

    whole: Callable[[bytes], Said | None]
    meters_of: Callable[[bytes], Counts]
    count: Callable[[bytes], int] = nothing_counted
    book: Callable[[Known, int, int], Counts] = in_tokens
    marks: tuple[bytes, ...] = (b'"',)
    event: Callable[[bytes], Said] = no_event
    may_be_text: bool = False
    relays_bytes: bool = False
    event_bytes_max: int = 8 * MIB

    def need_no_json(self, media_type: bytes) -> bool:
        """Whether a whole answer of this media type may be something else than JSON, of which nothing is read."""
        if self.relays_bytes:
            return media_type != b"application/json"
        return self.may_be_text and media_type.startswith(b"text/")
