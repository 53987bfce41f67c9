"""Administering: a change becomes records, then a snapshot; again it changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.adapters.sql.books import open_books
from entrepot.core.budgets import Budget
from entrepot.core.errors import BadInput, NotFound, WorldRejected
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import KeyIssued, KeyRevoked, MonthClosed, MonthSettled, UsageRecorded, WorldApplied
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.snapshot import ServedKey
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.flows.administer import Office, apply_world, issue_key, publish, revoke_key, rotate_key
from entrepot.workers import fold
from tests.support.memory_log import ManualClock, MemoryLog
from tests.support.worlds import small_world

NOW = parse_instant("2024-05-10T12:00:00Z")


class Desk:
    """An office and what stands behind it."""

    def __init__(self, folder: Path) -> None:
        self.log = MemoryLog()
        self.books = open_books(":memory:")
        self.snapshots = FileSnapshots(folder / "snapshot.json")
        self.office = Office(
            books=self.books,
            log=self.log,
            fold=lambda: fold(self.books, self.log),
            clock=ManualClock(NOW),
            snapshots=self.snapshots,
            addresses=dict,
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.books.close()


def test_a_world_is_applied_once(desk: Desk) -> None:
    first = apply_world(desk.office, small_world())
    assert first.world == 1
    assert first.changes
    assert [type(record) for record in desk.log.records] == [WorldApplied]
    again = apply_world(desk.office, small_world())
    assert again.changes == ()
    assert again.world == 1
    assert len(desk.log.records) == 1


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    planned = apply_world(desk.office, small_world(), dry_run=True)
    assert planned.world == 0
    assert desk.log.records == []
    assert desk.snapshots.load() is None
    assert planned.changes == apply_world(desk.office, small_world()).changes


def test_applying_publishes_what_gateways_serve_from(desk: Desk) -> None:
    apply_world(desk.office, small_world())
    published = desk.snapshots.load()
    assert published is not None
    assert published.version == 1
    assert set(published.projects["search"].deployments) == {"chat", "small"}
    assert not publish(desk.office)
    apply_world(desk.office, small_world(**{"{id: small,": "{id: tiny,"}))
    republished = desk.snapshots.load()
    assert republished is not None
    assert republished.version == 2


def test_a_damaged_snapshot_is_replaced(desk: Desk, tmp_path: Path) -> None:
    apply_world(desk.office, small_world())
    (tmp_path / "snapshot.json").write_text("{")
    assert publish(desk.office)
    assert desk.snapshots.load() is not None


def test_time_that_was_metered_cannot_be_rewritten(desk: Desk) -> None:
    apply_world(desk.office, small_world())
    used = UsageEvent("u1", NOW, NOW, "acme", "search", "chat", "gpt-4", "default", {"input_tokens": 5})
    desk.log.append([UsageRecorded(used)])
    dearer = small_world(**{'"30"': '"31"'})
    with pytest.raises(WorldRejected, match="a price of list@2024-01-01 cannot change"):
        apply_world(desk.office, dearer, dry_run=True)
    with pytest.raises(WorldRejected, match="declare a further version with a later effective_from"):
        apply_world(desk.office, dearer)
    assert [type(record) for record in desk.log.records] == [WorldApplied, UsageRecorded]
    with pytest.raises(WorldRejected, match="customer acme cannot be removed"):
        apply_world(desk.office, small_world(acme="ajax"))


def agreed(*rows: str, **changes: str) -> World:
    """The small world with agreements of shares that are paid to OpenAI, and with changes."""
    shared = "".join(f"  - {{partner: openai, kind: resale_share, direction: pay, {row}}}\n" for row in rows)
    return small_world(**changes, **{"customers:\n": f"agreements:\n{shared}customers:\n"})


def test_what_is_agreed_for_closed_months_cannot_be_rewritten(desk: Desk) -> None:
    """Before the first close since it was declared it can, whatever was closed by then."""
    desk.log.append([MonthClosed(at=NOW - 1, period="2024-02")])
    apply_world(desk.office, agreed('percent: "2"'))
    apply_world(desk.office, agreed('percent: "20"'))
    desk.log.append([MonthClosed(at=NOW, period="2024-04")])
    advice = "closed until 2024-05-01 and can neither go nor change for them; give it `to: 2024-05-01` or later"
    for changed in (agreed('percent: "25"'), agreed('percent: "20", to: 2024-04-15'), small_world()):
        with pytest.raises(WorldRejected, match=advice):
            apply_world(desk.office, changed)
    apply_world(desk.office, agreed('percent: "20", to: 2024-05-01', 'percent: "25", from: 2024-05-01'))
    desk.log.append([MonthClosed(at=NOW, period="2024-01"), MonthSettled(at=NOW, period="2024-01")])
    apply_world(desk.office, agreed('percent: "20", to: 2024-05-01', 'percent: "30", from: 2024-05-01'))


def test_models_of_closed_months_stay_their_partners(desk: Desk) -> None:
    apply_world(desk.office, agreed('percent: "20"'))
    desk.log.append([MonthClosed(at=NOW, period="2024-04")])
    with pytest.raises(WorldRejected, match="model gpt-4 is of openai in months that are closed"):
        apply_world(desk.office, agreed('percent: "20"', **{'"0613", partner: openai': '"0613", partner: own'}))


def test_a_key_is_good_from_when_it_is_made_until_it_is_revoked(desk: Desk) -> None:
    apply_world(desk.office, small_world())
    made = issue_key(desk.office, key="ek-secret", key_id="key_1", project="search", name="robot")
    assert (made.digest, made.project, made.name) == (key_digest("ek-secret"), "search", "robot")
    assert made.revoked_at == END_OF_TIME
    assert b"ek-secret" not in repr(desk.log.records).encode()
    published = desk.snapshots.load()
    assert published is not None
    assert published.keys == {key_digest("ek-secret"): ServedKey("key_1", "search")}
    assert revoke_key(desk.office, "key_1").revoked_at == NOW
    published = desk.snapshots.load()
    assert published is not None
    assert published.keys == {}
    with pytest.raises(BadInput, match="revoked already"):
        revoke_key(desk.office, "key_1")


def test_rotating_replaces_a_key_in_one_step(desk: Desk) -> None:
    apply_world(desk.office, small_world())
    issue_key(desk.office, key="ek-old", key_id="key_1", project="search", name="robot")
    made = rotate_key(desk.office, "key_1", key="ek-new", key_id="key_2")
    assert (made.project, made.name) == ("search", "robot")
    assert [type(record) for record in desk.log.records[-2:]] == [KeyIssued, KeyRevoked]
    published = desk.snapshots.load()
    assert published is not None
    assert published.keys == {key_digest("ek-new"): ServedKey("key_2", "search")}


def test_a_budget_goes_on_with_the_key_that_replaces_its_own(desk: Desk) -> None:
    apply_world(desk.office, small_world())
    budget = Budget(1000, "tokens", "total")
    issue_key(desk.office, key="ek-old", key_id="key_1", project="search", name="", budget=budget)
    rotate_key(desk.office, "key_1", key="ek-new", key_id="key_2")
    rotated = rotate_key(desk.office, "key_2", key="ek-newer", key_id="key_3")
    assert (rotated.budget, rotated.first) == (budget, "key_1")
    published = desk.snapshots.load()
    assert published is not None
    [owned] = published.budgets
    assert (owned.id, owned.keys) == ("key/key_1/total/tokens", ("key_3",))


def test_keys_belong_to_projects_that_exist(desk: Desk) -> None:
    with pytest.raises(NotFound, match="apply a world file"):
        issue_key(desk.office, key="ek-x", key_id="key_1", project="search", name="")
    apply_world(desk.office, small_world())
    with pytest.raises(NotFound, match="no project 'find'; declared are search"):
        issue_key(desk.office, key="ek-x", key_id="key_1", project="find", name="")
    with pytest.raises(NotFound, match="no key 'key_9'"):
        rotate_key(desk.office, "key_9", key="ek-x", key_id="key_1")
    assert len(desk.log.records) == 1
