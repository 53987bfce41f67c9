"""Usage that cannot be booked, kept whole with the reason."""

from collections.abc import Sequence

import msgspec

from entrepot.adapters.sql.store import Store
from entrepot.core.usage_event import UsageEvent, payload_digest
from entrepot.ports.books import Quarantined, QuarantineKind

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(UsageEvent).decode


class Quarantine(Store):
    """The quarantine part of the books."""

    def quarantine(self, items: Sequence[Quarantined]) -> None:
        """See ports.books."""
        self._database.execute_many(
            "INSERT OR IGNORE INTO quarantine (id, digest, kind, reason, event) VALUES (?, ?, ?, ?, ?)",
            [
                (item.event.id, payload_digest(item.event), item.kind, item.reason, _encode(item.event))
                for item in items
            ],
        )

    def release_quarantine(
        self, kind: QuarantineKind, after: tuple[str, bytes] = ("", b""), limit: int = 10_000
    ) -> list[UsageEvent]:
        """See ports.books."""
        rows = self._database.all(
            "SELECT id, digest, event FROM quarantine WHERE kind = ? AND (id, digest) > (?, ?) "
            "ORDER BY id, digest LIMIT ?",
            (kind, *after, limit),
        )
        self._database.execute_many("DELETE FROM quarantine WHERE id = ? AND digest = ?", (row[:2] for row in rows))
        return [_decode(row[2]) for row in rows]

    def quarantined(self, limit: int = -1) -> list[Quarantined]:
        """See ports.books."""
        rows = self._database.rows("SELECT event, kind, reason FROM quarantine ORDER BY id, digest LIMIT ?", (limit,))
        return [Quarantined(event=_decode(event), kind=kind, reason=reason) for event, kind, reason in rows]
