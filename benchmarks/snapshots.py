"""What a new snapshot costs a gateway process that serves: how long the longest turn of its event loop is while it is
taken up, for which all requests and streams wait; and CPU of all turns together.

    .venv/bin/python benchmarks/snapshots.py [--rounds 5]
"""

import argparse
import asyncio
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from entrepot.adapters.snapshot_file import FileSnapshots  # noqa: E402 the root has to be on the path first
from entrepot.compose.gateway import GC_THRESHOLDS, SnapshotFollower  # noqa: E402
from entrepot.core.budgets import Budget, OwnedBudget  # noqa: E402
from entrepot.core.capacity import Limit, ServedLimit  # noqa: E402
from entrepot.core.periods import MINUTE  # noqa: E402
from entrepot.core.snapshot import SCHEMA, GatewaySnapshot, ServedKey, ServedProject  # noqa: E402
from tests.support.gateway import Gateway, deployment, running_gateway, target  # noqa: E402

DEPLOYMENTS = 2  # Of each project, with a limit each.


class Size(NamedTuple):
    """Of a snapshot. budgets: of keys, a budget each. upstreams: places that deployments lead to."""

    keys: int
    projects: int
    budgets: int = 0
    upstreams: int = 1


SIZES = (
    Size(1_000, 100),
    Size(10_000, 100),
    Size(10_000, 2_000),
    Size(100_000, 1_000),
    Size(100_000, 20_000),
    Size(100_000, 1_000, budgets=100_000),
    Size(1_000, 50_000),
    Size(1_000, 2_500, upstreams=5_000),
)


class TakenUp(NamedTuple):
    """CPU milliseconds of a thread."""

    longest: float
    together: float


def main(arguments: Sequence[str]) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args(arguments).rounds
    print(
        "| keys | projects | budgets | upstreams | MB | longest turn, ms | all turns, ms |", "\n|" + "---:|" * 7, sep=""
    )
    with running_gateway(published=False) as gateway, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        follower = SnapshotFollower(path, gateway.flow, "")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        for of in SIZES:
            FileSnapshots(path).publish(made(of))
            gateway.run(follower.look_in_turns())  # What the last size left behind is not counted here.
            rows = []
            for _ in range(rounds):
                path.touch()
                rows.append(gateway.run(taken_up(gateway, follower)))
            longest = max(row.longest for row in rows)
            together = statistics.median(row.together for row in rows)
            size = (
                f"{of.keys:,} | {of.projects:,} | {of.budgets:,} | {of.upstreams:,} | {path.stat().st_size / 1e6:.1f}"
            )
            print(f"| {size} | {longest:.1f} | {together:.0f} |", flush=True)
    return 0


async def taken_up(gateway: Gateway, follower: SnapshotFollower) -> TakenUp:
    """The published snapshot taken up in the gateway's loop."""
    before = gateway.flow.snapshot
    turns = []
    following = asyncio.ensure_future(follower.look_in_turns())
    last = time.thread_time()
    while not following.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        turns.append((now - last) * 1000)
        last = now
    await following
    assert gateway.flow.snapshot is not before
    return TakenUp(max(turns), sum(turns))


def made(of: Size) -> GatewaySnapshot:
    """A snapshot of that size."""
    monthly = Budget(10**12)
    return GatewaySnapshot(
        schema=SCHEMA,
        version=1,
        published_at="2026-11-23T08:00:00Z",
        projects={f"project-{number}": project(number, of.upstreams) for number in range(of.projects)},
        keys={
            f"{number:064x}": ServedKey(f"key-{number}", f"project-{number % of.projects}") for number in range(of.keys)
        },
        identity_providers=(),
        principals={},
        budgets=tuple(OwnedBudget("key", f"key-{number}", "acme", monthly) for number in range(of.budgets)),
    )


def project(at: int, upstreams: int) -> ServedProject:
    """One with its deployments."""
    name = f"project-{at}"
    served = {}
    for number in range(DEPLOYMENTS):
        limit = Limit(f"quota/{name}/{number}/tokens", "tokens", "window", 10**6, MINUTE)
        place = (at * DEPLOYMENTS + number) % upstreams
        to = target(f"http://127.0.0.1:1/v{place}", f"up-{place}")
        met = ServedLimit(limit, "tokens_per_minute", f"of {name}")
        served[f"chat-{number}"] = deployment(f"chat-{number}", to, limits=(met,))
    return ServedProject(name, f"customer-of-{name}", served)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
