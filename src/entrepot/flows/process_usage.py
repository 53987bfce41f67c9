"""Usage events into the books: metered, told apart by id, counted, or quarantined with the reason."""

from collections.abc import Iterable, Sequence

from entrepot.core.log_records import UsageRecorded
from entrepot.core.usage_event import UsageEvent, payload_digest
from entrepot.core.world import DeclaredNames, WorldIndex
from entrepot.metering.aggregate import increments, summed, uses
from entrepot.metering.record import Recorder
from entrepot.ports.books import EventStore, Quarantined

_RETRIED_AT_ONCE = 10_000


def recorder_of(index: WorldIndex | None, names: DeclaredNames | None = None) -> Recorder:
    """What tells, under this world, what usage is counted as; None before the first world. names: of all worlds."""
    return Recorder(index, names)


def process_usage(store: EventStore, recorder: Recorder, events: Sequence[UsageEvent]) -> None:
    """Books what can be booked; every event's request is over, whatever came of it. Repeats change nothing."""
    metered, refused = recorder.record(events)
    new, conflicts = store.insert_events(metered)
    sums = summed(new)
    store.add_readings(increments(sums))
    store.add_uses(uses(sums, recorder.period_of))
    store.quarantine([*refused, *(_conflict(event) for event in conflicts)])
    store.close_requests([event.id for event in events])


def count_budgeted(store: EventStore, records: Iterable[UsageRecorded]) -> None:
    """Keeps what gateways counted of budgets for requests that are over now; to be called before their usage is booked.

    What is known already was counted when it came first.
    """
    counted: dict[str, UsageRecorded] = {}
    for record in records:
        if record.instance:
            counted.setdefault(record.event.id, record)
    sums: dict[str, dict[str, int]] = {}
    for event_id, record in counted.items():
        if not store.is_known(event_id):
            units = sums.setdefault(record.instance, {})
            for counter, count in record.counted:
                units[counter] = units.get(counter, 0) + count
    for instance, units in sums.items():
        store.add_counted(instance, units)


def retry_unpriced(store: EventStore, recorder: Recorder) -> None:
    """Tries again, under a new world, what waited for a price; what still has none goes back with its new reason."""
    after = ("", b"")
    while events := store.release_quarantine("unpriced", after, _RETRIED_AT_ONCE):
        after = (events[-1].id, payload_digest(events[-1]))
        process_usage(store, recorder, events)


def _conflict(event: UsageEvent) -> Quarantined:
    return Quarantined(
        event=event,
        kind="conflict",
        reason="usage of this id is booked with other content; if both happened, record this one under its own id",
    )
