"""A world asked about an instant: the contract and the price version in force."""

from entrepot.core.periods import DAY, HOUR, Instant, parse_instant
from entrepot.core.prices import PriceBookVersion
from entrepot.core.world import Operator, World, WorldIndex


def version(start: str) -> PriceBookVersion:
    date_only = len(start) == 10
    return PriceBookVersion(
        id=f"list@{start}",
        book="list",
        effective_from=parse_instant(start),
        prices=(),
        effective_date=start if date_only else "",
    )


def index(*versions: PriceBookVersion) -> WorldIndex:
    return WorldIndex(World(operator=Operator("Op", "USD"), price_books=versions))


def in_force(asked: WorldIndex, at: Instant, zone: str = "UTC") -> PriceBookVersion | None:
    begun = [version for begins, version in asked.price_versions("list", zone) if begins <= at]
    return begun[-1] if begun else None


def test_the_version_in_force_began_last() -> None:
    first, second = version("2024-01-01T00:00:00Z"), version("2024-02-01T00:00:00Z")
    asked = index(second, first)
    assert in_force(asked, first.effective_from - 1) is None
    assert in_force(asked, first.effective_from) is first
    assert in_force(asked, second.effective_from - 1) is first
    assert in_force(asked, second.effective_from) is second
    assert asked.price_versions("other", "UTC") == []


def test_a_version_declared_by_date_begins_at_midnight_of_the_contracts_zone() -> None:
    first, second = version("2024-01-01"), version("2024-02-01")
    asked = index(first, second)
    midnight = parse_instant("2024-02-01")
    assert in_force(asked, midnight - HOUR, "Europe/Berlin") is second
    assert in_force(asked, midnight - HOUR - 1, "Europe/Berlin") is first
    assert in_force(asked, midnight, "America/New_York") is first
    assert in_force(asked, midnight + 5 * HOUR, "America/New_York") is second


def test_a_zone_decides_between_a_date_and_an_instant_close_to_it() -> None:
    by_date, by_instant = version("2024-02-01"), version("2024-02-01T02:00:00Z")
    asked = index(by_instant, by_date)
    later = by_date.effective_from + DAY
    assert in_force(asked, later, "UTC") is by_instant
    assert in_force(asked, later, "America/New_York") is by_date
