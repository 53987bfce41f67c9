"""What is paid for being there, from chance: units for some hours near an edge, reservations of them, seats."""

from collections.abc import Sequence
from random import Random

from tests.oracle import calendar
from tests.oracle.cases import UNIT_HOURS, CountFrom, Deal, Desk, Geography, Holder, Reserved, Row, Units
from tests.oracle.monthly import date_begins

_GEOGRAPHIES: tuple[Geography, ...] = ("global", "data_zone", "regional")
_COUNTS = (0, 1, 15, 20, 100)
_OPEN = 2**61


def units_of(chance: Random, deals: Sequence[Deal], near: int, tellings: int) -> tuple[Units, ...]:
    """One or two deployments near an instant, also from before the first deal on.

    tellings: before how many of the closes the world may say more. "chat" is used by requests too, so all of it is
    known in time: their price is what was known when they came.
    """
    near -= near % calendar.MINUTE
    last = date_begins(deals[-1].end, deals[-1].zone) if deals[-1].end else _OPEN
    made = []
    for name in chance.choice((("chat",), ("spare",), ("chat", "spare"))):
        at, steps = near + chance.randint(-90, 90) * calendar.MINUTE, list[CountFrom]()
        for _ in range(chance.randint(1, 3)):
            arrives = chance.randrange(tellings) if name == "spare" and chance.random() < 0.3 else 0
            steps.append(CountFrom(at, chance.choice(_COUNTS), arrives))
            at += chance.randint(1, 150) * calendar.MINUTE
        steps = [step for step in steps if step.at < last]
        if steps:
            ended = (*steps, CountFrom(min(at, last), 0))
            made.append(Units(name, chance.choice(("m", "m", "n")), chance.choice(_GEOGRAPHIES), ended))
    return tuple(made)


def reserved_of(chance: Random, near: int, tellings: int) -> tuple[Reserved, ...]:
    """Up to two reservations around an instant."""
    near -= near % calendar.MINUTE
    made = []
    for number in range(1, chance.choice((0, 1, 1, 2)) + 1):
        begins = near + chance.randint(-150, 150) * calendar.MINUTE
        ends = begins + chance.randint(1, 300) * calendar.MINUTE
        models = chance.choice(((), (), ("m",), ("n", "m")))
        geography = chance.choice((None, None, *_GEOGRAPHIES))
        price = f"0.{chance.randrange(1, 10**12):012d}"
        of = (price, begins, ends, models, geography, _late(chance, tellings))
        made.append(Reserved(f"reservation-{number}", chance.choice((5, 20, 60)), *of))
    return tuple(made)


def unit_rows(chance: Random, models: Sequence[str]) -> list[Row]:
    """The prices of a unit hour: one for any geography, perhaps another one for some of them."""
    rows = []
    for model in models:
        for of in ("", *(name for name in _GEOGRAPHIES if chance.random() < 0.25)):
            price = chance.choice(("1", f"{chance.randrange(9)}.{chance.randrange(1, 10**12):012d}"))
            rows.append(Row(model, UNIT_HOURS, "default", price, of=of, mode="hourly"))
    return rows


def desk_of(chance: Random, zone: str, months: Sequence[str], tellings: int) -> Desk:
    """Seats that rise at any time, and fall where a term ends. months: those that are closed."""
    first = chance.choice((months[0], months[0], "2023-12"))
    length = chance.choice((1, 3, 12))
    seats: list[CountFrom] = []
    holders: list[Holder] = []
    month, passed = first, 0
    while month <= months[-1]:
        begins, ends = calendar.begins(month, zone), calendar.begins(calendar.following(month), zone)
        if passed == 0 or (passed % length == 0 and chance.random() < 0.5):
            seats.append(CountFrom(begins, chance.randint(1, 30)))
        if chance.random() < 0.5:
            more = seats[-1].number + chance.randint(1, 9)
            seats.append(CountFrom(chance.randrange(begins + 1, ends), more, _late(chance, tellings)))
        for _ in range(chance.choice((0, 0, 3))):
            at = chance.randrange(begins, ends)
            until = chance.choice((_OPEN, at + chance.randint(1, 40 * calendar.DAY)))
            holders.append(Holder(f"u{chance.randrange(40)}", at, until, _late(chance, tellings)))
        month, passed = calendar.following(month), passed + 1
    last = ""
    if chance.random() < 0.3:  # With the end of a term.
        last = first
        for _ in range(length * chance.randint(1, 2)):
            last = calendar.following(last)
    price = f"{chance.randrange(100)}.{chance.randrange(1, 10**6):06d}"
    return Desk("desk", price, first, last, length, tuple(seats), tuple(holders))


def _late(chance: Random, tellings: int) -> int:
    return chance.randrange(tellings) if chance.random() < 0.2 else 0
