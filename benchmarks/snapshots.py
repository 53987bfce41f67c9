"""What a new snapshot costs a gateway process that serves: CPU of reading it and of serving from it, which its event
loop does in one turn, so that requests wait for as long.

    .venv/bin/python benchmarks/snapshots.py [--rounds 5]
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from entrepot.core.capacity import Limit, ServedLimit  # noqa: E402 the root has to be on the path first
from entrepot.core.periods import MINUTE  # noqa: E402
from entrepot.core.snapshot import (  # noqa: E402
    SCHEMA,
    GatewaySnapshot,
    ServedDeployment,
    ServedProject,
    decode_snapshot,
    encode_snapshot,
)
from tests.support.gateway import Gateway, deployment, running_gateway, target  # noqa: E402

SIZES = ((1_000, 100), (10_000, 100), (10_000, 2_000), (100_000, 1_000), (100_000, 20_000))
DEPLOYMENTS = 2  # Of each project, with a limit each.
COLLECTOR = (10_000, 20, 20)  # As in a gateway process.


class Turn(NamedTuple):
    """CPU milliseconds."""

    read: float
    served: float


def main(arguments: Sequence[str]) -> int:
    """0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args(arguments).rounds
    print(
        "|   keys | projects |     MB | read, ms | served, ms | longest of both, ms |\n|---:|---:|---:|---:|---:|---:|"
    )
    with running_gateway(published=False) as gateway:
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTOR)
        for keys, projects in SIZES:
            payload = encode_snapshot(made(keys, projects))
            turns = [gateway.run(turn(gateway, payload)) for _ in range(rounds)]
            read, served = (statistics.median(parts) for parts in zip(*turns, strict=True))
            longest = max(sum(one) for one in turns)
            size = f"{len(payload) / 1e6:.1f}"
            print(f"| {keys:,} | {projects:,} | {size} | {read:.1f} | {served:.1f} | {longest:.1f} |", flush=True)
    return 0


async def turn(gateway: Gateway, payload: bytes) -> Turn:
    """The snapshot taken up in the gateway's loop."""
    began = time.thread_time()
    snapshot = decode_snapshot(payload)
    read = time.thread_time()
    faults = gateway.flow.adopt(snapshot)
    served = time.thread_time()
    assert not faults, faults
    return Turn((read - began) * 1000, (served - read) * 1000)


def made(keys: int, projects: int) -> GatewaySnapshot:
    """A snapshot of that size."""
    return GatewaySnapshot(
        schema=SCHEMA,
        version=1,
        published_at="2026-11-23T08:00:00Z",
        projects={name: project(name) for name in (f"project-{number}" for number in range(projects))},
        keys={f"{number:064x}": (f"key-{number}", f"project-{number % projects}") for number in range(keys)},
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
