"""A sample of `make simulate`: the whole product killed while it serves, and not a token lost or doubled."""

from pathlib import Path

import pytest

from tests.simulation.crashes import CrashRun, plan_requests


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", [101, 102])
def test_what_is_booked_is_what_the_upstream_served(seed: int, tmp_path: Path) -> None:
    finding = CrashRun(seed, tmp_path, requests=120).find()
    assert not finding.faults, finding.line()
    assert finding.served > 60, finding.line()
    assert finding.answered > 0, finding.line()


def test_a_seed_makes_the_same_plan() -> None:
    from random import Random

    assert plan_requests(Random(7), 50) == plan_requests(Random(7), 50)
    assert plan_requests(Random(7), 50) != plan_requests(Random(8), 50)
