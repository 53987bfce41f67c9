"""Subscriptions in a world file, and what a new world may not do to those that have begun."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from entrepot.core.periods import END_OF_TIME, Instant, format_instant, period_of
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription, is_renewal, next_renewal
from entrepot.core.world import World
from entrepot.provisioning.draft import Declared, Draft
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, MODEL_ID, read_amount

_KEYS = ("id", "customer", "product", "each_month", "minimum", "from", "to", "months", "seats", "assignments")


def read_subscriptions(root: Fields, draft: Draft, zones: Mapping[str, str]) -> None:
    """Adds the subscriptions to the draft. zones: {customer: zone of its first contract}."""
    for fields in root.rows("subscriptions", "subscription", _KEYS):
        identifier = fields.identifier("id", ID)
        customer = fields.identifier("customer", ID)
        zone = zones.get(customer, "UTC")
        begins = fields.instant("from", zone)
        subscription = Subscription(
            id=identifier,
            customer=customer,
            product=fields.identifier("product", MODEL_ID, identifier),
            each_pico=read_amount(fields, "each_month"),
            begins=begins,
            ends=fields.instant("to", zone, END_OF_TIME),
            months=fields.integer("months", 12, 1),
            minimum=fields.integer("minimum", 1, 1),
            seats=_seats(fields, begins, zone),
            assignments=_assignments(fields, zone),
        )
        if customer in zones and begins:
            _check(fields, subscription, zone)
        draft.subscriptions.append(Declared(subscription, fields))


def _seats(fields: Fields, begins: Instant, zone: str) -> tuple[SeatsFrom, ...]:
    if not fields.is_list("seats"):
        return (SeatsFrom(begins, fields.integer("seats")),)
    rows = fields.rows("seats", f"seats of {fields.what}", ("from", "seats"))
    changes = tuple(SeatsFrom(row.instant("from", zone), row.integer("seats")) for row in rows)
    if any(later.begins <= earlier.begins for earlier, later in pairwise(changes)):
        fields.fault("seats must be in the order of time, each from later than the one before", "seats")
    if not changes or changes[0].begins != begins:
        fields.fault("seats must begin when the subscription does", "seats")
    return changes


def _assignments(fields: Fields, zone: str) -> tuple[Assignment, ...]:
    found = []
    for row in fields.rows("assignments", f"assignment of {fields.what}", ("user", "from", "to")):
        found.append(Assignment(row.text("user"), row.instant("from", zone), row.instant("to", zone, END_OF_TIME)))
        if found[-1].ends <= found[-1].begins:
            row.fault("to must be later than from", "to")
    return tuple(sorted(found, key=lambda item: (item.user, item.begins)))


def _check(fields: Fields, subscription: Subscription, zone: str) -> None:
    if subscription.begins != period_of(subscription.begins, zone).start(zone):
        fields.fault("from must be the beginning of a month, for seats are charged by the month", "from")
        return
    if subscription.ends != END_OF_TIME and not (
        subscription.ends > subscription.begins and is_renewal(subscription, subscription.ends, zone)
    ):
        fields.fault(f"to must be the end of a term of {subscription.months} months", "to")
    for change in subscription.seats:
        if change.seats < subscription.minimum:
            fields.fault(f"{change.seats} seats are fewer than its minimum of {subscription.minimum}", "seats")
    for earlier, later in pairwise(subscription.seats):
        if later.seats < earlier.seats and not is_renewal(subscription, later.begins, zone):
            fields.fault(
                f"seats cannot go from {earlier.seats} to {later.seats} on {format_instant(later.begins)}, within a "
                f"term; they can when it ends, on {format_instant(next_renewal(subscription, later.begins, zone))}",
                "seats",
            )


def check_subscriptions(draft: Draft) -> None:
    """Notes a fault where no contract says how a subscription is invoiced, or two are of one product at a time."""
    contracts = draft.contracts_by_customer()
    known: dict[tuple[str, str], list[Subscription]] = {}
    for item in sorted(draft.subscriptions, key=lambda item: item.value.id):
        value = item.value
        agreed = contracts.get(value.customer, [])
        if not any(contract.effective_from <= value.begins < contract.effective_to for contract in agreed):
            item.fields.fault(f"no contract of customer {value.customer} is in force when it begins", "customer")
        of_same = known.setdefault((value.customer, value.product), [])
        for other in of_same:
            if other.id < value.id and other.begins < value.ends and value.begins < other.ends:
                item.fields.fault(f"subscription {other.id} is of the same product at the same time", "product")
        of_same.append(value)


def seat_conflicts(before: World, after: World, now: Instant) -> Iterator[str]:
    """A sentence for each subscription that has begun and would be gone, cost something else or have fewer seats.

    before: with those of earlier worlds. One that is over may go; what it charged stays charged.
    """
    kept = {subscription.id: subscription for subscription in after.subscriptions}
    known = {subscription.id for subscription in before.subscriptions}
    added = [subscription for subscription in after.subscriptions if subscription.id not in known]
    for old in before.subscriptions:
        new = kept.get(old.id)
        if old.begins > now:
            continue
        if new is None:
            if old.ends > now:
                yield f"subscription {old.id} has begun and cannot be removed; let it end with its term: `to`"
            for item in added:
                same = (item.customer, item.product) == (old.customer, old.product)
                if same and item.begins < old.ends and old.begins < item.ends:
                    yield (
                        f"subscription {item.id} is of the same product and customer as {old.id}, which was charged "
                        f"until {format_instant(old.ends)}; let it begin then, or name its product otherwise"
                    )
            continue
        fixed = ("customer", "product", "each_pico", "begins", "months", "minimum")
        if any(getattr(old, name) != getattr(new, name) for name in fixed) or (
            old.ends != new.ends and new.ends <= now
        ):
            yield (
                f"subscription {old.id} has begun and cannot change but in its seats, assignments and end; "
                "declare another one that begins when this ends"
            )
            continue
        times = sorted({now, *(change.begins for change in (*old.seats, *new.seats) if change.begins <= now)})
        lost = next((at for at in times if new.seats_at(at) < old.seats_at(at)), None)
        if lost is not None:
            yield (
                f"subscription {old.id} had {old.seats_at(lost)} seats on {format_instant(lost)} and cannot have "
                f"{new.seats_at(lost)}: seats do not go within a term, nor in the past"
            )
