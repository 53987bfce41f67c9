"""Changing what is declared: the world, an API key. Each change becomes a record, then a snapshot for the gateways."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from entrepot.core.agreements import Agreement
from entrepot.core.budgets import Budget, encode_budget
from entrepot.core.errors import BadInput, NotFound, SnapshotRefused, WorldRejected
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import KeyIssued, KeyRevoked, LogRecord, WorldApplied
from entrepot.core.periods import END_OF_TIME, Instant, Period, parse_period
from entrepot.core.tenancy import ApiKey, Contract
from entrepot.core.world import World, encode_world, index_of
from entrepot.metering.units import latest_counted
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock
from entrepot.ports.event_log import EventLog
from entrepot.ports.snapshots import Snapshots
from entrepot.provisioning.changes import Difference, differences
from entrepot.provisioning.metered import contract_conflicts, price_conflicts, rate_conflicts, removal_conflicts
from entrepot.provisioning.publish import compile_snapshot, unserved
from entrepot.provisioning.settled import agreement_conflicts, end_conflicts, model_conflicts, rounding_conflicts
from entrepot.provisioning.subscriptions import seat_conflicts


@dataclass(frozen=True, slots=True)
class Office:
    """What administering works with. fold brings the books up to the end of the log; addresses are those of
    provisioning.publish, asked anew for every snapshot. Whoever makes an office lets only one work at a time.
    """

    books: Books
    log: EventLog
    fold: Callable[[], object]
    clock: Clock
    snapshots: Snapshots
    addresses: Callable[[], Mapping[tuple[str, str], str]]


class Applied(msgspec.Struct, frozen=True):
    """What applying changed, or with a dry run would change. notes: what the operator should know of the new world."""

    world: int
    changes: tuple[Difference, ...]
    notes: tuple[str, ...]


def apply_world(office: Office, world: World, *, dry_run: bool = False) -> Applied:
    """The difference to the current world, which is applied unless this is a dry run. Idempotent.

    Raises: WorldRejected when it would rewrite time that has been metered; UsageLogUnavailable.
    """
    office.fold()
    number, current = office.books.world() or (0, None)
    changes = differences(current, world)
    if current is not None:
        _refuse_rewriting(office.books, current, world, office.clock.now())
    if changes and not dry_run:
        _record(office, WorldApplied(at=office.clock.now(), world=encode_world(world)))
        number = (office.books.world() or (0, world))[0]
    if not dry_run:
        publish(office)
    return Applied(world=number, changes=changes, notes=tuple(unserved(world)))


def issue_key(
    office: Office, *, key: str, key_id: str, project: str, name: str, budget: Budget | None = None
) -> ApiKey:
    """The record of a new key, good from now on. key: its text, of which only the digest is kept.

    Raises: NotFound for an unknown project; UsageLogUnavailable.
    """
    office.fold()
    _require_project(office.books, project)
    issued = _issued(office, key=key, key_id=key_id, project=project, name=name, budget=budget)
    _record(office, issued)
    publish(office)
    return _key(office.books, key_id)


def rotate_key(office: Office, old_id: str, *, key: str, key_id: str) -> ApiKey:
    """The record of a new key in the place of an old one, which stops being good; its budget goes on.

    Raises: NotFound for an unknown key, BadInput for a revoked one; UsageLogUnavailable.
    """
    office.fold()
    old = _good_key(office.books, old_id)
    issued = _issued(office, key=key, key_id=key_id, project=old.project, name=old.name, budget=old.budget)
    issued = msgspec.structs.replace(issued, replaces=old.id)
    _record(office, issued, KeyRevoked(at=issued.at, key_id=old.id))
    publish(office)
    return _key(office.books, key_id)


def revoke_key(office: Office, key_id: str) -> ApiKey:
    """The record of the key, which stops being good.

    Raises: NotFound for an unknown key, BadInput for one that is revoked already; UsageLogUnavailable.
    """
    office.fold()
    key = _good_key(office.books, key_id)
    _record(office, KeyRevoked(at=office.clock.now(), key_id=key.id))
    publish(office)
    return _key(office.books, key_id)


def publish(office: Office) -> bool:
    """Whether a new snapshot was published: none before the first world, none when nothing it holds has changed."""
    declared = office.books.world()
    if declared is None:
        return False
    try:
        published = office.snapshots.load()
    except SnapshotRefused:
        published = None  # Damaged or of another version of the program: replaced by what the books say.
    snapshot = compile_snapshot(
        declared[1],
        office.books.keys(),
        office.addresses(),
        version=published.version if published else 1,
        at=office.clock.now(),
    )
    if published is not None:
        if msgspec.structs.replace(snapshot, published_at=published.published_at) == published:
            return False
        snapshot = msgspec.structs.replace(snapshot, version=published.version + 1)
    office.snapshots.publish(snapshot)
    return True


def _refuse_rewriting(books: Books, current: World, world: World, now: Instant) -> None:
    terms = index_of(books.worlds())
    assert terms is not None
    counted = terms.declared
    through = books.units_through()

    def latest_of(customers: Collection[str], admitted: Instant | None) -> Instant | None:
        return _latest(latest_counted(counted, customers, through) if through else None, admitted)

    def of_customer(customer: str) -> Instant | None:
        return latest_of({customer}, books.latest_admission(customer=customer))

    def last_invoiced(contract: Contract) -> Period | None:
        period = books.last_invoiced(contract.id)
        return parse_period(period) if period else None

    def of_contract(contract: Contract) -> Instant | None:
        period = last_invoiced(contract)
        return _latest(of_customer(contract.customer), period.end(contract.zone) - 1 if period else None)

    def of_book(book: str) -> Instant | None:
        customers = {contract.customer for contract in current.contracts if contract.price_book == book}
        return latest_of(customers, books.latest_admission(book=book))

    closed_under = partial(_closed_under, books)
    closed = {parse_period(item.period) for item in books.closings() if not item.refused}
    conflicts = [
        *rounding_conflicts(current, world, closed),
        *contract_conflicts(current, world, of_contract),
        *end_conflicts(current, world, last_invoiced),
        *price_conflicts(current, world, of_book),
        *removal_conflicts(current, world, of_customer),
        *seat_conflicts(terms.world, world, now),
        *rate_conflicts(current, world, closed),
        *agreement_conflicts(current, world, closed_under),
        *model_conflicts(terms.world, world, closed_under),
    ]
    if conflicts:
        raise WorldRejected("\n".join(conflicts))


def _latest(*known: Instant | None) -> Instant | None:
    return max((at for at in known if at is not None), default=None)


def _closed_under(books: Books, agreement: Agreement) -> Instant | None:
    """The end of the last month that was stated by it, or closed since it was declared; None without any."""
    worlds = (at for at, world in books.worlds() if any(item.id == agreement.id for item in world.agreements))
    declared_at = next(worlds, END_OF_TIME)
    closed = {item.period for item in books.closings() if not item.refused and item.at >= declared_at}
    stated = {
        statement.period
        for statement in books.statements(partner=agreement.partner)
        if any(item.agreement == agreement.id for item in statement.documents)
    }
    return max((parse_period(period).end("UTC") for period in closed | stated), default=None)


def _issued(office: Office, *, key: str, key_id: str, project: str, name: str, budget: Budget | None) -> KeyIssued:
    told = b"" if budget is None else encode_budget(budget)
    return KeyIssued(office.clock.now(), key_id, key_digest(key), project, name, told)


def _record(office: Office, *records: LogRecord) -> None:
    office.log.append(records)
    office.fold()


def _require_project(books: Books, project: str) -> None:
    declared = books.world()
    known = sorted(item.id for item in declared[1].projects) if declared else []
    if project not in known:
        hint = f"declared are {', '.join(known)}" if known else "apply a world file that declares it first"
        raise NotFound(f"no project {project!r}; {hint}", param="project")


def _key(books: Books, key_id: str) -> ApiKey:
    found = books.key(key_id)
    if found is not None:
        return found
    raise NotFound(f"no key {key_id!r}; `entrepot key list` shows them", param="key_id")


def _good_key(books: Books, key_id: str) -> ApiKey:
    key = _key(books, key_id)
    if key.revoked_at != END_OF_TIME:
        raise BadInput(f"key {key_id} is revoked already", param="key_id")
    return key
