"""Attempts at upstreams, of requests that took more than one."""

from collections.abc import Iterator, Sequence

import msgspec

from entrepot.adapters.sql.database import parts
from entrepot.adapters.sql.packing import pack_id
from entrepot.adapters.sql.store import Store
from entrepot.core.charges import Series
from entrepot.core.log_records import NOTHING_TOLD, Attempted, AttemptEnded, ServedAt
from entrepot.core.periods import Instant
from entrepot.ports.books import MadeAttempt

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_ended = msgspec.msgpack.Decoder(AttemptEnded).decode


class Attempts(Store):
    """The part of the books that keeps attempts."""

    def begin_attempt(self, attempted: Attempted) -> None:
        """See ports.books."""
        self._database.execute(
            "INSERT OR IGNORE INTO attempt (id, number, began_at, upstream) VALUES (?, ?, ?, ?)",
            (attempted.id, attempted.number, attempted.at, attempted.upstream),
        )

    def end_attempt(self, ended: AttemptEnded) -> None:
        """See ports.books."""
        self._database.execute(
            "INSERT INTO attempt (id, number, began_at, upstream, told, ended) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET ended = excluded.ended, told = excluded.told "
            "WHERE ended IS NULL OR told < excluded.told",
            (ended.id, ended.number, ended.began_at, ended.upstream, _told_by(ended), _encode(ended)),
        )

    def untold_attempts(self, upstream: str, limit: int) -> list[AttemptEnded]:
        """See ports.books."""
        again = "SELECT 1 FROM attempt AS later WHERE later.id = attempt.id AND later.number > attempt.number"
        rows = self._database.all(
            "SELECT ended FROM attempt WHERE upstream = ? AND told = 0 AND ended IS NOT NULL "
            f"AND NOT EXISTS ({again} AND later.upstream = attempt.upstream) ORDER BY id, number LIMIT ?",
            (upstream, limit),
        )
        return [_ended(ended) for (ended,) in rows]

    def note_served(self, served: ServedAt) -> None:
        """See ports.books."""
        self._database.execute(
            "INSERT OR IGNORE INTO served_at (admitted_at, id, tier) VALUES (?, ?, ?)",
            (served.admitted_at, served.id, served.tier),
        )

    def served_tiers(self, since: Instant, until: Instant) -> dict[str, str]:
        """See ports.books."""
        within = "SELECT id, tier FROM served_at WHERE admitted_at >= ? AND admitted_at < ?"
        return dict(self._database.all(within, (since, until)))

    def ended_attempts(self, since: Instant, until: Instant) -> Iterator[tuple[Series | None, AttemptEnded]]:
        """See ports.books."""
        series_of = "SELECT series FROM usage_event WHERE id = ?"
        for event_id, ended in self._database.all(
            "SELECT id, ended FROM attempt WHERE began_at >= ? AND began_at < ? AND told = 2 ORDER BY id, number",
            (since, until),
        ):
            found = self._database.one(series_of, (pack_id(event_id),))
            yield None if found is None else self._packer.series.key(found[0]), _ended(ended)

    def attempts(self, event_ids: Sequence[str]) -> list[MadeAttempt]:
        """See ports.books."""
        rows = [
            row
            for part in parts(event_ids)
            for row in self._database.all(
                "SELECT id, number, began_at, upstream, ended FROM attempt "
                f"WHERE id IN ({', '.join('?' * len(part))}) ORDER BY id, number",
                part,
            )
        ]
        return [
            MadeAttempt(event_id, number, began_at, upstream, None if ended is None else _ended(ended))
            for event_id, number, began_at, upstream, ended in rows
        ]


def _told_by(ended: AttemptEnded) -> int:
    """2: what the attempt used; 1: that there is no more to know, as with a refusal; 0: neither."""
    if ended.raw and ended.raw != NOTHING_TOLD:
        return 2
    return 1 if ended.raw or ended.outcome == "refused" else 0
