"""Usage records as other systems write them, turned into usage events.

Whatever the file's format, a record is read by one structure and judged by one function, so that the same record in
JSON Lines, CSV and Parquet becomes the same event, with the same digest, and a second import of it changes nothing.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec

from entrepot.core.periods import instant_of, parse_instant
from entrepot.core.tokens import METERS
from entrepot.core.usage_event import Source, UsageEvent, faults
from entrepot.ports.usage_rows import RawRow, RowBatch, RowFault

ROW_SHOWN_MAX = 2000  # Characters of a rejected row that are worth keeping.

_Name = Annotated[str, msgspec.Meta(max_length=256)]


class UsageRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A usage record's columns. Meters left out and meters of nothing mean the same."""

    id: str
    admitted_at: str
    customer: _Name
    model: _Name
    meters: dict[str, int]
    finished_at: str | None = None
    project: _Name = ""
    deployment: _Name = ""
    tier: str = "default"
    source: Source = "reported"
    corrects: str | None = None


COLUMNS = tuple(field.name for field in msgspec.structs.fields(UsageRecord) if field.name != "meters")
REQUIRED = ("id", "admitted_at", "customer", "model")


class ParsedRows(NamedTuple):
    """A batch, sorted into what can be booked and what cannot."""

    events: list[UsageEvent]
    faults: list[RowFault]


_decode = msgspec.json.Decoder(UsageRecord).decode


def parse_rows(batch: RowBatch) -> ParsedRows:
    """The events of a batch in its order, and a fault for each row that is none."""
    parsed = ParsedRows([], list(batch.faults))
    for line, row in zip(batch.lines, batch.rows, strict=True):
        try:
            parsed.events.append(_event(_record(row)))
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors, as are undecodable bytes
            parsed.faults.append(RowFault(line=line, reason=_sentence(error, row), row=_shown(row)))
    return parsed


def _record(row: RawRow) -> UsageRecord:
    if isinstance(row, bytes):
        return _decode(row)
    # Cells are text, and whole numbers with gaps between them are often stored as floats: 812.0 is taken, 812.5 is not.
    return msgspec.convert(row, UsageRecord, strict=False)


def _event(record: UsageRecord) -> UsageEvent:
    """The event of a record. Raises: ValueError with a sentence for the user."""
    admitted_at = _instant("admitted_at", record.admitted_at)
    event = UsageEvent(
        id=record.id,
        admitted_at=admitted_at,
        finished_at=_instant("finished_at", record.finished_at) if record.finished_at else admitted_at,
        customer=record.customer,
        project=record.project,
        deployment=record.deployment,
        model=record.model,
        tier=record.tier,
        meters=_counted(record.meters),
        source=record.source,
        corrects=record.corrects or None,
    )
    fault = faults(event)
    if fault is not None:
        raise ValueError(fault)
    return event


def _counted(meters: dict[str, int]) -> dict[str, int]:
    """The meters by name, without known ones of nothing."""
    return {meter: meters[meter] for meter in sorted(meters) if meters[meter] or meter not in METERS}


def _instant(column: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)  # as parse_instant reads it, without its questions about dates and zones
        if moment.tzinfo is not None:
            return instant_of(moment)
    except ValueError:
        pass
    try:
        return parse_instant(text.upper() if text[-1:] == "z" else text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{column}: {error}") from None


# ---- saying why not ------------------------------------------------------------------------------

_EXPECTED = re.compile(
    r"Expected `(?P<wanted>[^`]+)`(?: of length <= (?P<most>\d+))?(?:, got `(?P<found>[^`]+)`)?"
    r"(?: - at `\$\.?(?P<where>[^`]*)`)?"
)
_WORDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number with a fraction",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
    "str | null": "text or null",
}


def _sentence(error: Exception, row: RawRow) -> str:
    """What is wrong with a row, in words that need no knowledge of how it was read."""
    text = str(error)
    if isinstance(error, UnicodeError):
        return "is not UTF-8 text"
    if isinstance(error, RecursionError) or (
        isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError)
    ):
        return f"is not a JSON object: {text}" if isinstance(row, bytes) else text
    if (field := re.search(r"contains unknown field `([^`]*)`", text)) is not None:
        return f"{field[1]} is not a column of a usage record; they are {', '.join(COLUMNS)} and meters"
    if (field := re.search(r"missing required field `([^`]*)`", text)) is not None:
        return f"{field[1]} is missing"
    if (expected := _EXPECTED.match(text)) is not None:
        return _expectation(expected, row)
    if (enum := re.match(r"Invalid enum value (.+) - at `\$\.source`", text)) is not None:
        return f"source {enum[1]} is not one of reported, counted, estimated"
    return text


def _expectation(expected: re.Match[str], row: RawRow) -> str:
    wanted, found, where = expected["wanted"], expected["found"], expected["where"] or "the line"
    if where == "meters[...]":
        where = _broken_meter(row)
    if expected["most"]:
        return f"{where} must be text of at most {expected['most']} characters"
    return f"{where} must be {_WORDS.get(wanted, wanted)}" + (f", not {_WORDS.get(found, found)}" if found else "")


def _broken_meter(row: RawRow) -> str:
    """Which meter's quantity is not a whole number."""
    fields = msgspec.json.decode(row) if isinstance(row, bytes) else row
    meters = fields.get("meters")
    for meter, quantity in meters.items() if isinstance(meters, Mapping) else ():
        try:
            msgspec.convert(quantity, int, strict=isinstance(row, bytes))
        except msgspec.ValidationError:
            return f"{meter} ({quantity})"
    return "a quantity in meters"


def _shown(row: RawRow) -> str:
    text = (
        row.decode(errors="replace")
        if isinstance(row, bytes)
        else msgspec.json.encode(dict(row), enc_hook=str).decode()
    )
    return text if len(text) <= ROW_SHOWN_MAX else text[:ROW_SHOWN_MAX] + "…"
