"""What a new world may do to subscriptions that have begun."""

import msgspec
import pytest

from entrepot.core.periods import parse_instant
from entrepot.core.subscriptions import SeatsFrom
from entrepot.core.world import World
from entrepot.provisioning.subscriptions import seat_conflicts
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, faults_of

NOW = parse_instant("2024-03-10")
DESK = "subscriptions:\n  - {id: desk, customer: acme, each_month: '30', from: 2024-01-01, seats: SEATS}\n"
GROWN = "[{from: 2024-01-01, seats: 10}, {from: 2024-03-01, seats: 12}, {from: 2024-05-01, seats: 20}]"


def declared(seats: str = GROWN) -> World:
    return read_world([("world.yaml", SMALL + DESK.replace("SEATS", seats))])


def with_desk(**changes: object) -> World:
    world = declared()
    (desk,) = world.subscriptions
    return msgspec.structs.replace(world, subscriptions=(msgspec.structs.replace(desk, **changes),))


def test_a_subscription_is_read_with_its_defaults() -> None:
    (desk,) = declared("10").subscriptions
    assert (desk.product, desk.months, desk.minimum, desk.each_pico) == ("desk", 12, 1, 30 * 10**12)
    assert desk.seats == (SeatsFrom(parse_instant("2024-01-01"), 10),)


def seats(*counts: tuple[str, int]) -> tuple[SeatsFrom, ...]:
    return tuple(SeatsFrom(parse_instant(day), count) for day, count in counts)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (with_desk(seats=seats(("2024-01-01", 10), ("2024-03-01", 11))), "had 12 seats on 2024-03-01"),
        (with_desk(seats=seats(("2024-01-01", 9), ("2024-03-01", 12))), "had 10 seats on 2024-01-01"),
        (with_desk(each_pico=1), "cannot change but in its seats, assignments and end"),
        (with_desk(ends=parse_instant("2024-02-01")), "cannot change but in its seats"),
        (read_world([("world.yaml", SMALL)]), "has begun and cannot be removed"),
    ],
)
def test_what_would_take_back_what_was_sold_is_refused(world: World, message: str) -> None:
    (conflict,) = seat_conflicts(declared(), world, NOW)
    assert message in conflict


@pytest.mark.parametrize(
    "world",
    [
        declared(),
        declared("[{from: 2024-01-01, seats: 10}, {from: 2024-03-01, seats: 12}]"),
        declared("[{from: 2024-01-01, seats: 10}, {from: 2024-02-01, seats: 15}]"),
        with_desk(ends=parse_instant("2025-01-01")),
    ],
)
def test_what_has_not_come_yet_can_change(world: World) -> None:
    assert list(seat_conflicts(declared(), world, NOW)) == []


def test_one_that_has_not_begun_can_go() -> None:
    assert list(seat_conflicts(declared(), read_world([("w", SMALL)]), parse_instant("2023-12-31"))) == []


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("id: desk, customer: acne, each_month: '3', from: 2024-01-01, seats: 1", "customer 'acne' is not declared"),
        ("id: desk, customer: acme, each_month: '3', from: 2023-01-01, seats: 1", "no contract of customer acme is in"),
        (
            "id: desk, customer: acme, each_month: '3', from: 2024-01-02, seats: 1",
            "from must be the beginning of a month",
        ),
        ("id: desk, customer: acme, each_month: '-3', from: 2024-01-01, seats: 1", "each_month cannot be negative"),
    ],
)
def test_what_makes_no_sense_is_named(row: str, message: str) -> None:
    assert any(message in fault for fault in faults_of(SMALL + f"subscriptions:\n  - {{{row}}}\n"))


def test_two_of_a_product_may_follow_each_other_and_not_overlap() -> None:
    first = "id: a, customer: acme, product: desk, each_month: '3', from: 2024-01-01, seats: 1, to: 2025-01-01"
    second = "id: b, customer: acme, product: desk, each_month: '4', from: 2025-01-01, seats: 1"
    rows = SMALL + f"subscriptions:\n  - {{{first}}}\n  - {{{second}}}\n"
    assert len(read_world([("world.yaml", rows)]).subscriptions) == 2
    (fault,) = faults_of(rows.replace("from: 2025-01-01", "from: 2024-12-01"))
    assert "subscription a is of the same product at the same time" in fault
