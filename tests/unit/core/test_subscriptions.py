"""Seats of a subscription, by the instant and by the day."""

from entrepot.core.periods import DAY, END_OF_TIME, Period
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription, seat_days
from tests.support.billing import MARCH


def desk(*assigned: Assignment, seats: tuple[SeatsFrom, ...] = (SeatsFrom(MARCH, 2),)) -> Subscription:
    return Subscription("desk", "acme", "desk", 1, MARCH, END_OF_TIME, 12, 1, seats, assigned)


def test_there_are_no_seats_before_the_first_are_bought() -> None:
    assert [desk().seats_at(at) for at in (MARCH - 1, MARCH)] == [0, 2]


def test_a_seat_is_taken_from_its_first_instant_to_before_its_last() -> None:
    ann = desk(Assignment("ann", MARCH, MARCH + DAY))
    assert ann.assigned(MARCH, MARCH + DAY) == {"ann"}
    assert ann.assigned(MARCH + DAY, MARCH + 2 * DAY) == set()
    assert ann.assigned(MARCH - DAY, MARCH) == set()


def test_nobody_assigned_is_no_seat_beyond_those_bought() -> None:
    none = desk(seats=(SeatsFrom(MARCH, 0),))
    assert seat_days(none, Period(2024, 3), "UTC") == (0, 0, 0, 31, 0)
