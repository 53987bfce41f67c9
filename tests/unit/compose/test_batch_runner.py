"""Batches take turns: one of a project at a time, and none is in the way of another's."""

import asyncio
import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from entrepot.adapters.job_store import SqliteJobStore
from entrepot.compose.batch_runner import BatchRunner
from entrepot.core.catalog import Operation
from entrepot.core.jobs import ENDED, Batch, Task, TaskAnswer
from entrepot.core.periods import END_OF_TIME
from entrepot.core.snapshot import GatewaySnapshot, ServedProject
from entrepot.flows.run_batches import Desk
from tests.support.gateway import deployment, snapshot
from tests.support.virtual_time import run_virtual


class FixedClock:
    def now(self) -> int:
        return 1_700_000_000_000_000


class TwoProjects:
    """Both sell `chat` in batches."""

    def publish(self, snapshot: GatewaySnapshot) -> None:
        raise AssertionError

    def load(self) -> GatewaySnapshot:
        made = snapshot(deployment("chat", tiers={"batch": ((0, END_OF_TIME),)}))
        served = made.projects["search"].deployments
        made.projects["shop"] = ServedProject("shop", "globex", served)
        return made


class SlowRequests:
    """Answers after a second, and remembers which projects were waited for together. fails: a project's requests do."""

    def __init__(self) -> None:
        self.together: list[set[str]] = []
        self.under_way: list[str] = []
        self.unreachable = 0
        self.fails = ""

    async def send(self, project: str, operation: Operation, task: Task) -> TaskAnswer | None:
        if self.unreachable:
            self.unreachable -= 1
            return None
        if project == self.fails:
            raise RuntimeError("what nobody foresaw")
        self.under_way.append(project)
        self.together.append(set(self.under_way))
        assert self.under_way.count(project) <= 2
        await asyncio.sleep(1)
        self.under_way.remove(project)
        return TaskAnswer(task.line, task.custom_id, 200, "r", b"{}")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    numbers = count(1)
    store = SqliteJobStore(tmp_path / "jobs.db")
    yield Desk(store, TwoProjects(), FixedClock(), lambda prefix: f"{prefix}{next(numbers):06d}")
    store.close()


def create(desk: Desk, project: str, tasks: int = 3) -> Batch:
    request = {"method": "POST", "url": "/v1/chat/completions", "body": {"model": "chat"}}
    content = b"\n".join(json.dumps({"custom_id": f"t{n}", **request}).encode() for n in range(tasks))
    file = desk.upload(project, "in.jsonl", "batch", content)
    return desk.create(project, file.id, "/v1/chat/completions", "24h")


async def run_all(desk: Desk, requests: SlowRequests, batches: list[tuple[str, Batch]]) -> None:
    """Runs until these batches have ended."""
    runner = BatchRunner(desk, requests)
    running = asyncio.create_task(runner.run())
    while not all(desk.store.batch(project, batch.id).status in ENDED for project, batch in batches):  # noqa: ASYNC110
        await asyncio.sleep(0.5)
    running.cancel()
    await asyncio.wait([running])


def test_one_batch_of_a_project_runs_at_a_time_beside_those_of_others(desk: Desk) -> None:
    """Given a project with several batches in front of another project's, both are served from the beginning."""
    batches = [(project, create(desk, project)) for project in ("search", "search", "search", "shop")]
    requests = SlowRequests()
    run_virtual(run_all(desk, requests, batches))
    assert {"search", "shop"} in requests.together[:4]
    assert {desk.store.batch(project, batch.id).status for project, batch in batches} == {"completed"}


def test_a_batch_goes_on_when_the_gateway_is_there_again(desk: Desk) -> None:
    requests = SlowRequests()
    requests.unreachable = 5
    batch = create(desk, "search")
    run_virtual(run_all(desk, requests, [("search", batch)]))
    assert desk.store.batch("search", batch.id).request_counts.completed == 3


def test_a_batch_that_cannot_go_on_is_in_nobody_s_way(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    requests = SlowRequests()
    requests.fails = "search"
    broken, good = create(desk, "search"), create(desk, "shop")
    run_virtual(run_all(desk, requests, [("shop", good)]))
    assert desk.store.batch("shop", good.id).status == "completed"
    assert desk.store.batch("search", broken.id).status == "in_progress"
    assert f"batch_interrupted batch={broken.id}" in caplog.text


def test_what_is_under_way_is_kept_when_it_is_told_to_stop(desk: Desk) -> None:
    batch = create(desk, "search", tasks=2)

    async def stop_at_once() -> None:
        running = asyncio.create_task(BatchRunner(desk, SlowRequests()).run())
        await asyncio.sleep(0.5)
        running.cancel()
        await asyncio.wait([running])

    run_virtual(stop_at_once())
    assert desk.store.batch("search", batch.id).status == "completed"
