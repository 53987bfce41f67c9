"""A sample of `make simulate`: the whole product killed while it serves, and not a token lost or doubled."""

from pathlib import Path

import pytest

from tests.simulation.crashes import CrashRun, plan_requests


@pytest.mark.timeout(480)
@pytest.mark.parametrize(("seed", "waits_for"), [(101, "disk"), (102, "memory")])
def test_what_is_booked_is_what_the_upstream_served(seed: int, waits_for: str, tmp_path: Path) -> None:
    finding = CrashRun(seed, tmp_path, requests=120, waits_for=waits_for).find()
    assert not finding.faults, finding.line()
    assert finding.served > 60, finding.line()
    assert finding.answered > 0, finding.line()


@pytest.mark.timeout(480)
@pytest.mark.parametrize(("seed", "waits_for"), [(103, "disk"), (104, "memory")])
def test_one_of_four_gateways_killed_under_load(seed: int, waits_for: str, tmp_path: Path) -> None:
    gateways = [f"gateway {number}" for number in range(1, 5)]
    run = CrashRun(seed, tmp_path, requests=300, workers=4, victims=gateways, kills=1, waits_for=waits_for)
    finding = run.find()
    assert not finding.faults, finding.line()
    assert len(finding.killed) == 1, finding.line()
    assert finding.cut <= {finding.lost[0]}, "a gateway that was not killed broke an answer off"
    assert finding.served > 150, finding.line()
    assert finding.answered > 100, finding.line()


def test_a_seed_makes_the_same_plan() -> None:
    from random import Random

    assert plan_requests(Random(7), 50) == plan_requests(Random(7), 50)
    assert plan_requests(Random(7), 50) != plan_requests(Random(8), 50)
