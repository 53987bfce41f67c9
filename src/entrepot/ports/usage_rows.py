"""Usage that other systems wrote down: rows of files and of published traces, read in bounded memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

# A record as the file has it: the text of a JSON object, or fields by name with their meters in one mapping.
RawRow = bytes | Mapping[str, object]


class RowFault(msgspec.Struct, frozen=True):
    """A row that cannot be used: where it stands (from 1), why not, in a sentence, and what it says."""

    line: int
    reason: str
    row: str


class RowBatch(NamedTuple):
    """Neighbouring rows with their line numbers, and the lines between them that are no rows at all."""

    lines: Sequence[int]
    rows: Sequence[RawRow]
    faults: Sequence[RowFault] = ()


class TraceRow(NamedTuple):
    """What a trace says of one request, or of a window of them.

    at_ns: nanoseconds since the epoch, or since the trace's own beginning. requests: how many this row stands for.
    input_tokens: all of the prompt, cached included; of each request. Tokens are None where the trace has only counts.
    """

    line: int
    at_ns: int
    client: str
    requests: int
    input_tokens: int | None
    cached_input_tokens: int
    output_tokens: int | None


class TraceBatch(NamedTuple):
    """Neighbouring rows of a trace in file order, and the lines between them that cannot be used."""

    rows: Sequence[TraceRow]
    faults: Sequence[RowFault] = ()


class UsageRows(Protocol):
    """A file of usage records."""

    def batches(self) -> Iterator[RowBatch]:
        """All rows in file order, a few thousand at a time.

        Raises: BadInput when the file as a whole cannot be used, or breaks off; what came before is good.
        """
        ...


class TraceRows(Protocol):
    """A file of a published trace."""

    def batches(self) -> Iterator[TraceBatch]:
        """All rows in file order, a few thousand at a time. Raises: as UsageRows.batches."""
        ...
