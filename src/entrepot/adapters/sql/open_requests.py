"""Requests that were admitted and whose usage is not recorded yet."""

from collections.abc import Iterable, Sequence

import msgspec

from entrepot.adapters.sql.attempts import Attempts
from entrepot.adapters.sql.budgets import Budgets
from entrepot.adapters.sql.usage_events import UsageEvents
from entrepot.core.log_records import Abandoned, Admitted, UsageUntold
from entrepot.core.periods import Instant
from entrepot.ports.books import MadeAttempt, OpenRequest

_encode = msgspec.msgpack.Encoder().encode
_admitted = msgspec.msgpack.Decoder(Admitted).decode
_ended: msgspec.msgpack.Decoder[Abandoned | UsageUntold] = msgspec.msgpack.Decoder(Abandoned | UsageUntold)


class OpenRequests(UsageEvents, Attempts, Budgets):
    """The part of the books that waits for usage."""

    def open_request(self, admitted: Admitted) -> None:
        """See ports.books."""
        if not self.is_known(admitted.id):
            self._database.execute(
                "INSERT OR IGNORE INTO open_request (id, admitted_at, instance, admitted) VALUES (?, ?, ?, ?)",
                (admitted.id, admitted.at, admitted.instance, _encode(admitted)),
            )

    def note_progress(self, streams: Iterable[tuple[str, int]]) -> None:
        """See ports.books."""
        self._database.execute_many(
            "UPDATE open_request SET output_tokens = max(output_tokens, ?) WHERE id = ?",
            ((output_tokens, event_id) for event_id, output_tokens in streams),
        )

    def give_up(self, ended: Abandoned | UsageUntold) -> None:
        """See ports.books."""
        if isinstance(ended, UsageUntold):
            self._leave_untold(ended)
        else:
            self._database.execute(
                "UPDATE open_request SET given_up = ? WHERE id = ? AND given_up IS NULL", (_encode(ended), ended.id)
            )

    def _leave_untold(self, untold: UsageUntold) -> None:
        """Its record has all of its admission that still matters: usage is never lost for want of that."""
        event = untold.event
        if not self.is_known(event.id):
            admitted = Admitted(
                event.id, event.admitted_at, untold.instance, event.customer, event.project, event.deployment,
                event.model, event.tier, event.upstream, event.key, 0, holds=untold.counted,
            )  # fmt: skip
            self._database.execute(
                "INSERT OR REPLACE INTO open_request (id, admitted_at, instance, admitted, given_up) "
                "VALUES (?, ?, ?, ?, ?)",
                (event.id, event.admitted_at, untold.instance, _encode(admitted), _encode(untold)),
            )

    def lose_instance(self, instance: str, at: Instant) -> None:
        """See ports.books."""
        self.forget_instance(instance)
        for event_id, output_tokens in self._database.all(
            "SELECT id, output_tokens FROM open_request WHERE instance = ? AND given_up IS NULL", (instance,)
        ):
            self.give_up(
                Abandoned(
                    id=event_id,
                    at=at,
                    outcome="gateway_lost",
                    answered=output_tokens > 0,
                    output_tokens=output_tokens,
                )
            )

    def close_requests(self, event_ids: Sequence[str]) -> None:
        """See ports.books."""
        if self._database.one("SELECT 1 FROM open_request") is not None:
            self._database.execute_many("DELETE FROM open_request WHERE id = ?", ((known,) for known in event_ids))

    def open_requests(self, given_up: bool, limit: int = -1) -> list[OpenRequest]:
        """See ports.books."""
        rows = self._database.all(
            f"SELECT admitted, output_tokens, given_up FROM open_request "
            f"WHERE given_up IS {'NOT ' if given_up else ''}NULL ORDER BY id LIMIT ?",
            (limit,),
        )
        attempts: dict[str, list[MadeAttempt]] = {}
        found = [(_admitted(row[0]), row[1], None if row[2] is None else _ended.decode(row[2])) for row in rows]
        for attempt in self.attempts([admitted.id for admitted, _, _ in found]):
            attempts.setdefault(attempt.id, []).append(attempt)
        return [
            OpenRequest(
                admitted=admitted,
                output_tokens=output_tokens,
                given_up=ended if isinstance(ended, Abandoned) else None,
                under_way=_under_way(admitted, attempts.get(admitted.id, [])),
                untold=ended if isinstance(ended, UsageUntold) else None,
            )
            for admitted, output_tokens, ended in found
        ]

    def oldest_open(self) -> Instant | None:
        """See ports.books."""
        row = self._database.one("SELECT min(admitted_at) FROM open_request")
        return row[0] if row else None


def _under_way(admitted: Admitted, attempts: Sequence[MadeAttempt]) -> tuple[MadeAttempt, ...]:
    """A request's attempts that have not ended: of the first, its admission tells until it has."""
    first = MadeAttempt(admitted.id, 1, admitted.at, admitted.upstream)
    made = {1: first} | {item.number: item for item in attempts}
    return tuple(item for _, item in sorted(made.items()) if item.ended is None)
