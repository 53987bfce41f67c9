"""Several gateways over one keeper of counters: delays, broken connections, killed gateways, a killed keeper."""

import pytest

from entrepot.core.capacity import Limit
from entrepot.core.periods import MINUTE, SECOND
from entrepot.core.shared_counters import LEASE_US, REMEMBER_US, Given
from tests.simulation.gateways import WAY_US_MAX, Faults, Room, World

WINDOW = Limit("tokens", "tokens", "window", 2_000, window=10 * SECOND)
BUCKET = Limit("load", "load", "bucket", 2_000, drain=12_000)
BUDGET = Limit("money", "money", "budget", 60_000)
CALM = Faults()
BROKEN = Faults(connection=0.02)
LOST = Faults(connection=0.02, gateway=0.01)
FORGETFUL = Faults(connection=0.01, keeper=0.05)
SEEDS = range(4)


def run(seed: int, limit: Limit, faults: Faults, seconds: int = 60) -> World:
    """A world in which requests for up to three times the limit arrive."""
    world = World(seed, limit, 2 + seed % 4, faults)
    begins = world.at + SECOND
    for _ in range(seconds * 30):
        room = world.chance.choice(world.rooms)
        units = world.chance.choice([1, 20, 50, 150])

        def ask(room: Room = room, units: int = units) -> None:
            room.ask(units, world.at)

        world.later(begins - world.at + world.chance.randrange(seconds * SECOND), ask)
    world.run(begins + seconds * SECOND)
    return world


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [CALM, BROKEN, LOST, FORGETFUL], ids=["calm", "broken", "lost", "forgetful"])
@pytest.mark.parametrize("limit", [WINDOW, BUDGET], ids=["window", "budget"])
def test_what_is_admitted_never_exceeds_the_limit(seed: int, limit: Limit, faults: Faults) -> None:
    world = run(seed, limit, faults)
    assert world.admissions > 20
    assert world.peak <= limit.units
    if limit is WINDOW and not faults.gateway and not faults.keeper:
        assert world.peak > 0.9 * limit.units


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bucket_is_filled_no_further_than_its_last_request(seed: int) -> None:
    """Beside what leaks while a grant is on its way, which nobody can have used."""
    world = run(seed, BUCKET, BROKEN)
    assert world.admissions > 100
    print(f"seed {seed}: filled to {world.peak} of {BUCKET.units}")
    assert world.peak <= BUCKET.units + 150 + BUCKET.drain * WAY_US_MAX // MINUTE


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [CALM, BROKEN], ids=["calm", "broken"])
def test_nothing_is_lost_for_ever(seed: int, faults: Faults) -> None:
    """Once all requests have ended, what is used is what they used, to the unit."""
    world = run(seed, BUDGET, faults)
    world.faults = CALM
    world.run(world.at + REMEMBER_US + LEASE_US + 10 * SECOND)
    for room in world.rooms:
        assert not room.held
    idle = sum(room.allotment.free for room in world.rooms)
    assert used(world) == world.truth.used(BUDGET, world.at) + idle


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_refused_while_there_is_room_that_nobody_holds(seed: int) -> None:
    world = run(seed, BUDGET, CALM, seconds=120)
    assert world.refusals > 100
    assert world.wrong_refusals == 0


def used(world: World) -> int:
    [(units, _)] = world.keeper.give("somebody", [Given(BUDGET, 0, 0, world.at)], world.at)
    return units
