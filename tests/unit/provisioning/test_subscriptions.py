"""How subscriptions are read, and what a new world may do to those that have begun."""

import msgspec
import pytest

from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription
from entrepot.core.world import World
from entrepot.provisioning.subscriptions import seat_conflicts
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of

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
    assert (desk.ends, desk.assignments) == (END_OF_TIME, ())
    assert desk.seats == (SeatsFrom(parse_instant("2024-01-01"), 10),)


def test_a_subscription_is_read_in_its_contracts_zone() -> None:
    in_paris = SMALL.replace(
        "effective_from: 2024-01-01\n    price_book",
        "effective_from: 2024-01-01\n    zone: Europe/Paris\n    price_book",
    )
    given = """subscriptions:
  - id: desk
    customer: acme
    product: copilot
    each_month: "30"
    minimum: 2
    months: 3
    from: 2024-01-01
    to: 2024-07-01
    seats: [{from: 2024-01-01, seats: 2}, {from: 2024-01-02, seats: 3}, {from: 2024-04-01, seats: 2}]
    assignments:
      - {user: zoe, from: 2024-01-03}
      - {user: amy, from: 2024-02-01}
      - {user: amy, from: 2024-01-02, to: 2024-01-03}
"""
    (desk,) = read_world([("w", in_paris + given)]).subscriptions

    def day(text: str) -> int:
        return parse_instant(text, "Europe/Paris")

    assert (desk.id, desk.product, desk.months, desk.minimum) == ("desk", "copilot", 3, 2)
    assert (desk.begins, desk.ends) == (day("2024-01-01"), day("2024-07-01"))
    assert desk.seats == (
        SeatsFrom(day("2024-01-01"), 2),
        SeatsFrom(day("2024-01-02"), 3),
        SeatsFrom(day("2024-04-01"), 2),
    )
    assert desk.assignments == (
        Assignment("amy", day("2024-01-02"), day("2024-01-03")),
        Assignment("amy", day("2024-02-01")),
        Assignment("zoe", day("2024-01-03")),
    )


def seats(*counts: tuple[str, int]) -> tuple[SeatsFrom, ...]:
    return tuple(SeatsFrom(parse_instant(day), count) for day, count in counts)


KEPT = "seats do not go within a term, nor in the past"
FIXED = (
    "subscription desk has begun and cannot change but in its seats, assignments and end; "
    "declare another one that begins when this ends"
)


@pytest.mark.parametrize(
    ("world", "message"),
    [
        (
            with_desk(seats=seats(("2024-01-01", 10), ("2024-03-01", 11))),
            f"subscription desk had 12 seats on 2024-03-01T00:00:00Z and cannot have 11: {KEPT}",
        ),
        (
            with_desk(seats=seats(("2024-01-01", 9), ("2024-03-01", 12))),
            f"subscription desk had 10 seats on 2024-01-01T00:00:00Z and cannot have 9: {KEPT}",
        ),
        (
            with_desk(seats=seats(("2024-01-01", 10), ("2024-03-01", 12), ("2024-03-10", 11))),
            f"subscription desk had 12 seats on 2024-03-10T00:00:00Z and cannot have 11: {KEPT}",
        ),
        (with_desk(each_pico=1), FIXED),
        (with_desk(customer="acne"), FIXED),
        (with_desk(product="chair"), FIXED),
        (with_desk(begins=parse_instant("2024-02-01")), FIXED),
        (with_desk(months=1), FIXED),
        (with_desk(minimum=2), FIXED),
        (with_desk(ends=NOW), FIXED),
        (
            read_world([("world.yaml", SMALL)]),
            "subscription desk has begun and cannot be removed; let it end with its term: `to`",
        ),
    ],
)
def test_what_would_take_back_what_was_sold_is_refused(world: World, message: str) -> None:
    assert list(seat_conflicts(declared(), world, NOW)) == [message]


@pytest.mark.parametrize(
    "world",
    [
        declared(),
        declared("[{from: 2024-01-01, seats: 10}, {from: 2024-03-01, seats: 12}]"),
        declared("[{from: 2024-01-01, seats: 10}, {from: 2024-02-01, seats: 15}]"),
        with_desk(ends=parse_instant("2025-01-01")),
        with_desk(seats=seats(("2024-01-01", 10), ("2024-03-01", 12), ("2024-03-11", 1))),
    ],
)
def test_what_has_not_come_yet_can_change(world: World) -> None:
    assert list(seat_conflicts(declared(), world, NOW)) == []


def test_one_that_has_not_begun_can_go() -> None:
    begins = parse_instant("2024-01-01")
    assert list(seat_conflicts(declared(), read_world([("w", SMALL)]), begins - 1)) == []
    assert len(list(seat_conflicts(declared(), read_world([("w", SMALL)]), begins))) == 1


def test_one_that_has_not_begun_may_change_in_everything() -> None:
    assert list(seat_conflicts(declared(), with_desk(each_pico=1), parse_instant("2023-12-31"))) == []


def ended_and(*others: Subscription) -> tuple[World, World]:
    """A world whose desk ended on 2024-03-01, and one that has these in its place."""
    world = with_desk(ends=parse_instant("2024-03-01"))
    return world, msgspec.structs.replace(world, subscriptions=others)


def other(begins: str, ends: str, **changes: object) -> Subscription:
    """As desk, under another id, from one day to another."""
    (desk,) = declared().subscriptions
    span = {"id": "other", "begins": parse_instant(begins), "ends": parse_instant(ends)}
    return msgspec.structs.replace(desk, **span | changes)


@pytest.mark.parametrize(
    "others",
    [
        (),
        (other("2024-03-01", "2025-03-01"),),
        (other("2023-01-01", "2024-01-01"),),
        (other("2024-01-01", "2025-01-01", product="chair"),),
        (other("2024-01-01", "2025-01-01", customer="acne"),),
    ],
)
def test_one_that_is_over_may_go(others: tuple[Subscription, ...]) -> None:
    before, after = ended_and(*others)
    assert list(seat_conflicts(before, after, parse_instant("2024-03-01"))) == []


@pytest.mark.parametrize(
    "another", [other("2024-02-29", "2025-01-01"), other("2023-01-01", "2024-01-02"), other("2024-02-01", "2024-02-02")]
)
def test_one_that_is_over_may_not_be_charged_again_under_another_id(another: Subscription) -> None:
    before, after = ended_and(another)
    (conflict,) = seat_conflicts(before, after, NOW)
    assert conflict == (
        "subscription other is of the same product and customer as desk, which was charged until 2024-03-01T00:00:00Z; "
        "let it begin then, or name its product otherwise"
    )


def test_one_that_was_there_beside_it_is_not_in_its_place() -> None:
    before, after = ended_and(other("2024-01-01", "2025-01-01"))
    both = msgspec.structs.replace(before, subscriptions=(*before.subscriptions, *after.subscriptions))
    assert list(seat_conflicts(both, after, NOW)) == []


def row(identifier: str, **changes: str) -> str:
    """A subscription of one seat of copilot, a key in each line; `begins` is its `from`."""
    given = {"customer": "acme", "product": "copilot", "each_month": '"3"', "begins": "2024-01-01", "seats": "1"}
    lines = "".join(f"    {key}: {value}\n" for key, value in (given | changes).items()).replace("begins:", "from:")
    return f"  - id: {identifier}\n{lines}"


def with_rows(*rows: str) -> str:
    """SMALL with these subscriptions."""
    return f"{SMALL}subscriptions:\n{''.join(rows)}"


def line_of(key: str, text: str) -> int:
    """Where the key of the last row stands."""
    return text[: text.rindex(f"\n    {key}:")].count("\n") + 2


@pytest.mark.parametrize(
    ("changes", "key", "fault"),
    [
        (
            {"begins": "2023-01-01"},
            "customer",
            "no contract of customer acme is in force when it begins",
        ),
        ({"begins": "2024-01-02"}, "from", "from must be the beginning of a month, for seats are charged by the month"),
        ({"each_month": "-3"}, "each_month", "each_month cannot be negative"),
        ({"months": "0"}, "months", "months must be a whole number of at least 1, not '0'"),
        ({"minimum": "0"}, "minimum", "minimum must be a whole number of at least 1, not '0'"),
        ({"minimum": "2"}, "seats", "1 seats are fewer than its minimum of 2"),
        ({"to": "2024-12-01"}, "to", "to must be the end of a term of 12 months"),
        ({"to": "2024-01-01"}, "to", "to must be the end of a term of 12 months"),
        ({"to": "2023-01-01"}, "to", "to must be the end of a term of 12 months"),
        ({"seats": "[]"}, "seats", "seats must begin when the subscription does"),
        ({"seats": "[{from: 2024-02-01, seats: 1}]"}, "seats", "seats must begin when the subscription does"),
        (
            {"seats": "[{from: 2024-01-01, seats: 1}, {from: 2024-03-01, seats: 2}, {from: 2024-02-01, seats: 3}]"},
            "seats",
            "seats must be in the order of time, each from later than the one before",
        ),
        (
            {"seats": "[{from: 2024-01-01, seats: 1}, {from: 2024-01-01, seats: 2}]"},
            "seats",
            "seats must be in the order of time, each from later than the one before",
        ),
        (
            {"seats": "[{from: 2024-01-01, seats: 3}, {from: 2024-03-01, seats: 3}, {from: 2024-04-01, seats: 2}]"},
            "seats",
            (
                "seats cannot go from 3 to 2 on 2024-04-01T00:00:00Z, within a term; "
                "they can when it ends, on 2025-01-01T00:00:00Z"
            ),
        ),
    ],
)
def test_what_makes_no_sense_is_named_with_its_line(changes: dict[str, str], key: str, fault: str) -> None:
    text = with_rows(row("desk", **changes))
    assert faults_of(text) == [f"world.yaml:{line_of(key, text)}: subscription desk: {fault}"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("subscriptions:\n  - 3\n", ["subscription must be keys with values, not the single value '3'"]),
        (
            with_rows(row("desk", customer="acne", begins="2024-01-02")).removeprefix(SMALL),
            [
                "subscription desk: customer 'acne' is not declared; did you mean 'acme'?",
                "subscription desk: no contract of customer acne is in force when it begins",
            ],
        ),
        (
            with_rows(row("desk", begins="")).removeprefix(SMALL),
            [
                "subscription desk: no contract of customer acme is in force when it begins",
                "subscription desk: from has no value",
            ],
        ),
        (
            with_rows(row("desk", seats="[1]")).removeprefix(SMALL),
            [
                "seats of subscription desk must be keys with values, not the single value '1'",
                "subscription desk: seats must begin when the subscription does",
            ],
        ),
        (
            with_rows(row("desk", assignments="[1, {users: amy, from: 2024-01-02}]")).removeprefix(SMALL),
            [
                "assignment of subscription desk has an unknown key 'users'; did you mean 'user'?",
                "assignment of subscription desk must be keys with values, not the single value '1'",
                "assignment of subscription desk: user is missing",
            ],
        ),
    ],
)
def test_what_cannot_be_read_is_named(text: str, faults: list[str]) -> None:
    assert [fault.partition(": ")[2] for fault in faults_of(SMALL + text)] == faults


@pytest.mark.parametrize("to", ["2024-01-02", "2024-01-01"])
def test_an_assignment_ends_after_it_begins(to: str) -> None:
    text = with_rows(row("desk", assignments=f"\n      - user: amy\n        from: 2024-01-02\n        to: {to}"))
    last = text.count("\n")
    assert faults_of(text) == [f"world.yaml:{last}: assignment of subscription desk: to must be later than from"]


@pytest.mark.parametrize(("desk", "table"), [(2024, 2025), (2025, 2024)])
def test_two_of_a_product_may_follow_each_other(desk: int, table: int) -> None:
    years = {"desk": desk, "table": table}
    text = with_rows(*(row(name, begins=f"{year}-01-01", to=f"{year + 1}-01-01") for name, year in years.items()))
    assert len(read_world([("w", text)]).subscriptions) == 2


def test_two_of_a_product_may_not_overlap() -> None:
    text = with_rows(row("desk"), row("table"))
    line = line_of("product", text)
    message = f"world.yaml:{line}: subscription table: subscription desk is of the same product at the same time"
    assert faults_of(text) == [message]


def test_one_that_is_declared_twice_is_told_once() -> None:
    (fault,) = faults_of(with_rows(row("desk"), row("desk")))
    assert "subscription desk" in fault


def test_one_of_several_contracts_is_in_force_when_it_begins() -> None:
    contract = "  - {customer: acme, price_book: list, effective_from: 2025-01-01, effective_to: 2026-01-01}\n"
    text = with_rows(row("desk", begins="2025-02-01")).replace("projects:", f"{contract}projects:")
    text = changed(
        "    effective_from: 2024-01-01\n", "    effective_from: 2024-01-01\n    effective_to: 2025-01-01\n", text
    )
    assert len(read_world([("w", text)]).subscriptions) == 1
    (fault,) = faults_of(changed("from: 2025-02-01", "from: 2026-01-01", text))
    assert fault.endswith("no contract of customer acme is in force when it begins")
