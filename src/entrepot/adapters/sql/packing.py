"""How a usage event is laid down in a row, and read back equal.

A row is (id, series, admitted_at, body); body is a msgpack array: how long the request took, the origin, the quantities
in the order of the origin's meters and, where there are any, the raw usage and the corrected id. Equal events have
equal rows, so a repeat is recognised without a digest.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from entrepot.adapters.sql.database import Database, Row
from entrepot.adapters.sql.numbering import KNOWN_MAX, Numbering
from entrepot.core.charges import Series
from entrepot.core.usage_event import UsageEvent
from entrepot.ports.books import MeteredUsage

SERIES_COLUMNS = "contract, price_version, customer, project, deployment, model, tier, price_class"
_ORIGIN_COLUMNS = "source, outcome, upstream, key, meters"

_encode = msgspec.msgpack.Encoder().encode


class _Body(msgspec.Struct, frozen=True, array_like=True):
    """The body of a row as it is read."""

    duration: int
    origin: int
    quantities: list[int]
    raw: bytes = b""
    corrects: str | None = None


_decode = msgspec.msgpack.Decoder(_Body).decode


class Origin(NamedTuple):
    """What repeats from event to event beside the series."""

    source: str
    outcome: str
    upstream: str
    key: str
    meters: tuple[str, ...]


class SeriesNumbers(Numbering[Series]):
    """The numbers of series."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "series", SERIES_COLUMNS)

    def to_row(self, key: Series) -> Row:
        return msgspec.structs.astuple(key)

    def of_row(self, row: Row) -> Series:
        return Series(*row)


class _OriginNumbers(Numbering[Origin]):
    def __init__(self, database: Database) -> None:
        super().__init__(database, "origin", _ORIGIN_COLUMNS)

    def to_row(self, key: Origin) -> Row:
        return (*key[:4], " ".join(key.meters))

    def of_row(self, row: Row) -> Origin:
        return Origin(row[0], row[1], row[2], row[3], tuple(row[4].split()))


class Packer:
    """Turns metered usage into rows and rows into events."""

    def __init__(self, database: Database) -> None:
        self.series = SeriesNumbers(database)
        self._origins = _OriginNumbers(database)
        self._known_origins: dict[tuple[str, ...], int] = {}
        database.on_rollback.append(self._known_origins.clear)

    def pack(self, events: Sequence[MeteredUsage]) -> list[Any]:
        """The rows of events one after another: id, series, admitted_at, body, id, series, …"""
        flat: list[Any] = []
        known_origin = self._known_origins.get
        known_series = self.series.known
        for usage in events:
            event, series = usage.event, usage.series
            at, meters, raw = event.admitted_at, event.meters, event.raw
            key = (event.source, event.outcome, event.upstream, event.key, *meters)
            origin = known_origin(key) or self._origin(event, key)
            quantities = [*meters.values()] if origin > 0 else [meters[name] for name in sorted(meters)]
            body: tuple[object, ...] = (event.finished_at - at, abs(origin), quantities)
            if raw or event.corrects is not None:
                body += (raw, event.corrects)
            flat += (pack_id(event.id), known_series(series) or self.series.number(series), at, _encode(body))
        return flat

    def _origin(self, event: UsageEvent, key: tuple[str, ...]) -> int:
        """The number of an event's origin, negative when its meters are not in order."""
        names = tuple(event.meters)
        ordered = tuple(sorted(names))
        number = self._origins.number(Origin(event.source, event.outcome, event.upstream, event.key, ordered))
        if len(self._known_origins) >= KNOWN_MAX:
            self._known_origins.clear()
        self._known_origins[key] = number if names == ordered else -number
        return self._known_origins[key]

    def unpack(self, row: Row) -> UsageEvent:
        """The event of a row."""
        packed_id, series_number, at, packed_body = row
        body = _decode(packed_body)
        series = self.series.key(series_number)
        origin = self._origins.key(body.origin)
        return UsageEvent(
            id=unpack_id(packed_id),
            admitted_at=at,
            finished_at=at + body.duration,
            customer=series.customer,
            project=series.project,
            deployment=series.deployment,
            model=series.model,
            tier=series.tier,
            meters=dict(zip(origin.meters, body.quantities, strict=True)),
            source=origin.source,  # type: ignore[arg-type]
            outcome=origin.outcome,  # type: ignore[arg-type]
            upstream=origin.upstream,
            key=origin.key,
            raw=body.raw,
            corrects=body.corrects,
        )

    def same_content(self, one: Row, other: Row) -> bool:
        """Whether two rows of the same id are of equal events; the terms they were metered under may differ."""
        if one[2:] != other[2:]:
            return False
        mine, theirs = self.series.key(one[1]), self.series.key(other[1])
        return mine is theirs or _of_event(mine) == _of_event(theirs)


def _of_event(series: Series) -> Row:
    return series.customer, series.project, series.deployment, series.model, series.tier


def pack_id(text: str) -> str | bytes:
    """The id in 16 bytes where it is 32 lower-case hex digits, as the gateway mints them, else as it is."""
    if len(text) == 32:
        try:
            packed = bytes.fromhex(text)
        except ValueError:
            return text
        if packed.hex() == text:
            return packed
    return text


def unpack_id(packed: str | bytes) -> str:
    """The id of a packed one."""
    return packed if isinstance(packed, str) else packed.hex()
