"""A sample of `make simulate`: the whole product hurt while it serves, and not a token lost or doubled."""

from pathlib import Path
from random import Random

import pytest

from tests.simulation.crash_misfortunes import KINDS, VICTIMS, plan_misfortunes
from tests.simulation.crash_plan import plan_requests
from tests.simulation.crashes import CrashRun


@pytest.mark.timeout(480)
@pytest.mark.parametrize(("seed", "waits_for"), [(101, "disk"), (102, "memory")])
def test_what_is_booked_is_what_the_upstreams_served(seed: int, waits_for: str, tmp_path: Path) -> None:
    finding = CrashRun(seed, tmp_path, requests=120, waits_for=waits_for).find()
    assert not finding.faults, finding.line()
    assert finding.served > 60, finding.line()
    assert finding.answered > 0, finding.line()


@pytest.mark.timeout(480)
@pytest.mark.parametrize(("seed", "waits_for"), [(103, "disk"), (104, "memory")])
def test_one_of_four_gateways_killed_under_load(seed: int, waits_for: str, tmp_path: Path) -> None:
    gateways = [f"gateway {number}" for number in range(1, 5)]
    run = CrashRun(
        seed, tmp_path, requests=300, workers=4, kinds=("kill",), victims=gateways, at_most=1, waits_for=waits_for
    )
    finding = run.find()
    assert not finding.faults, finding.line()
    assert len(finding.misfortunes) == 1, finding.line()
    assert finding.cut.keys() <= {finding.lost[0]}, f"a gateway that was not killed broke an answer off: {finding.cut}"
    assert finding.served > 150, finding.line()
    assert finding.answered > 100, finding.line()


def test_a_seed_makes_the_same_plan() -> None:
    for plan in (
        lambda seed: plan_requests(Random(seed), 50),
        lambda seed: plan_misfortunes(Random(seed), KINDS, VICTIMS, 4),
    ):
        assert plan(7) == plan(7)
        assert plan(7) != plan(8)
