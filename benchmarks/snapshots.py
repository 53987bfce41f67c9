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
from entrepot.core.capacity import Limit, ServedLimit  # noqa: E402
from entrepot.core.periods import MINUTE  # noqa: E402
from entrepot.core.snapshot import SCHEMA, GatewaySnapshot, ServedDeployment, ServedKey, ServedProject  # noqa: E402
from tests.support.gateway import Gateway, deployment, running_gateway, target  # noqa: E402

SIZES = ((1_000, 100), (10_000, 100), (10_000, 2_000), (100_000, 1_000), (100_000, 20_000))
DEPLOYMENTS = 2  # Of each project, with a limit each.


class TakenUp(NamedTuple):
    """CPU milliseconds of a thread."""

    longest: float
    together: float


def main(arguments: Sequence[str]) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args(arguments).rounds
    print("|   keys | projects |     MB | longest turn, ms | all turns, ms |\n|---:|---:|---:|---:|---:|")
    with running_gateway(published=False) as gateway, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot.json"
        follower = SnapshotFollower(path, gateway.flow, "")
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        for keys, projects in SIZES:
            FileSnapshots(path).publish(made(keys, projects))
            gateway.run(follower.look_in_turns())  # What the last size left behind is not counted here.
            rows = []
            for _ in range(rounds):
                path.touch()
                rows.append(gateway.run(taken_up(gateway, follower)))
            longest = max(row.longest for row in rows)
            together = statistics.median(row.together for row in rows)
            size = f"{path.stat().st_size / 1e6:.1f}"
            print(f"| {keys:,} | {projects:,} | {size} | {longest:.1f} | {together:.0f} |", flush=True)
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


def made(keys: int, projects: int) -> GatewaySnapshot:
    """A snapshot of that size."""
    return GatewaySnapshot(
        schema=SCHEMA,
        version=1,
        published_at="2026-11-23T08:00:00Z",
        projects={name: project(name) for name in (f"project-{number}" for number in range(projects))},
        keys={f"{number:064x}": ServedKey(f"key-{number}", f"project-{number % projects}") for number in range(keys)},
        identity_providers=(),
        principals={},
    )


def project(name: str) -> ServedProject:
    """One with its deployments."""
    served = {}
    for number in range(DEPLOYMENTS):
        limit = Limit(f"quota/{name}/{number}/tokens", "tokens", "window", 10**6, MINUTE)
        served[f"chat-{number}"] = limited(f"chat-{number}", ServedLimit(limit, "tokens_per_minute", f"of {name}"))
    return ServedProject(name, f"customer-of-{name}", served)


def limited(name: str, limit: ServedLimit) -> ServedDeployment:
    """A deployment with a limit."""
    return deployment(name, target("http://127.0.0.1:1/v1"), limits=(limit,))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
