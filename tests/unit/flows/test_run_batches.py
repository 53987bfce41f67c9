"""A batch from upload to its end, through interruptions, cancellation and expiry."""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from entrepot.adapters.job_store import SqliteJobStore
from entrepot.core.catalog import Operation
from entrepot.core.errors import (
    DeploymentNotFound,
    EntrepotError,
    InvalidRequest,
    ModelRetired,
    NotFound,
    OperationNotSupported,
    PermissionDenied,
    UnsupportedValue,
)
from entrepot.core.jobs import COMPLETION_WINDOW_S, Batch, Task, TaskAnswer
from entrepot.core.periods import SECOND
from entrepot.core.snapshot import GatewaySnapshot
from entrepot.flows.run_batches import Desk, run_batch
from tests.support.gateway import deployment, snapshot


class ManualClock:
    def __init__(self) -> None:
        self.at = 1_700_000_000 * SECOND

    def now(self) -> int:
        return self.at


class ScriptedRequests:
    """Answers each task with what `script` says for it, and remembers what was sent."""

    def __init__(self, script: Callable[[Task], TaskAnswer | None]) -> None:
        self.script = script
        self.sent: list[str] = []

    async def send(self, project: str, operation: Operation, task: Task) -> TaskAnswer | None:
        assert (project, operation) == ("search", "chat")
        self.sent.append(task.custom_id)
        return self.script(task)


UNUSABLE = (
    deployment("old", stage="retired"),
    deployment("early", stage="preview"),
    deployment("empty", usable=((0, 1),)),
)


class FixedSnapshots:
    """One project that sells `chat` in batches for a while, and `dear` never."""

    def publish(self, snapshot: GatewaySnapshot) -> None:
        raise AssertionError

    def load(self) -> GatewaySnapshot:
        at = ManualClock().at
        batched = deployment("chat", tiers={"batch": ((at, at + SECOND),)})
        return snapshot(batched, deployment("dear"), *UNUSABLE)


def good(task: Task) -> TaskAnswer:
    return TaskAnswer(task.line, task.custom_id, 200, f"r{task.line}", b"{}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def desk(tmp_path: Path, clock: ManualClock) -> Iterator[Desk]:
    numbers = count(1)
    store = SqliteJobStore(tmp_path / "jobs.db")
    yield Desk(store, FixedSnapshots(), clock, lambda prefix: f"{prefix}{next(numbers):06d}")
    store.close()


def upload(desk: Desk, tasks: int, model: str = "chat") -> str:
    request = {"method": "POST", "url": "/v1/chat/completions", "body": {"model": model}}
    content = b"\n".join(json.dumps({"custom_id": f"t{n}", **request}).encode() for n in range(1, tasks + 1))
    return desk.upload("search", "in.jsonl", "batch", content).id


def create(desk: Desk, tasks: int) -> Batch:
    return desk.create("search", upload(desk, tasks), "/v1/chat/completions", "24h", {"team": "ads"})


def run(desk: Desk, requests: ScriptedRequests, batch: Batch) -> Batch:
    return asyncio.run(run_batch(desk, requests, "search", batch))


def test_a_batch_runs_to_its_end_and_writes_both_files(desk: Desk) -> None:
    def script(task: Task) -> TaskAnswer:
        return TaskAnswer(task.line, task.custom_id, 400 if task.line == 3 else 200, "r", b"{}")

    batch = run(desk, ScriptedRequests(script), create(desk, 10))
    assert batch.status == "completed"
    assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (10, 9, 1)
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    assert len(desk.store.content("search", batch.output_file_id).splitlines()) == 9
    assert len(desk.store.content("search", batch.error_file_id).splitlines()) == 1
    assert desk.store.unfinished() == []
    assert batch.metadata == {"team": "ads"}


def test_an_interrupted_batch_goes_on_and_asks_for_no_kept_answer_again(desk: Desk) -> None:
    requests = ScriptedRequests(lambda task: good(task) if task.line <= 6 else None)
    batch = run(desk, requests, create(desk, 10))
    assert batch.status == "in_progress"
    assert batch.request_counts.completed == 6
    requests.script = good
    requests.sent.clear()
    [(project, stored)] = desk.store.unfinished()
    assert project == "search"
    assert run(desk, requests, stored).status == "completed"
    assert requests.sent == ["t7", "t8", "t9", "t10"]


def test_a_cancelled_batch_stops_and_says_which_requests_did_not_run(desk: Desk) -> None:
    batch = create(desk, 8)

    def script(task: Task) -> TaskAnswer:
        desk.cancel("search", batch.id)
        return good(task)

    ended = run(desk, ScriptedRequests(script), batch)
    assert ended.status == "cancelled"
    assert ended.cancelled_at is not None
    assert ended.error_file_id is not None
    lines = [json.loads(line) for line in desk.store.content("search", ended.error_file_id).splitlines()]
    assert [line["custom_id"] for line in lines] == ["t5", "t6", "t7", "t8"]
    assert {line["error"]["code"] for line in lines} == {"batch_cancelled"}
    assert desk.cancel("search", batch.id) == ended


def test_an_expired_batch_keeps_what_ran(desk: Desk, clock: ManualClock) -> None:
    def script(task: Task) -> TaskAnswer:
        clock.at += COMPLETION_WINDOW_S * SECOND
        return good(task)

    ended = run(desk, ScriptedRequests(script), create(desk, 6))
    assert ended.status == "expired"
    assert ended.request_counts.completed == 4


def test_a_faulty_file_fails_the_batch_before_anything_is_sent(desk: Desk) -> None:
    file = desk.upload("search", "in.jsonl", "batch", b"{")
    requests = ScriptedRequests(good)
    batch = run(desk, requests, desk.create("search", file.id, "/v1/chat/completions", "24h", None))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert batch.errors.data[0].code == "invalid_json_line"
    assert requests.sent == []


def test_what_cannot_be_created_is_refused(desk: Desk) -> None:
    file_id = upload(desk, 1)
    with pytest.raises(NotFound):
        desk.create("other-project", file_id, "/v1/chat/completions", "24h", None)
    with pytest.raises(UnsupportedValue, match="endpoint"):
        desk.create("search", file_id, "/v1/images", "24h", None)
    with pytest.raises(UnsupportedValue, match="24h"):
        desk.create("search", file_id, "/v1/chat/completions", "1h", None)
    with pytest.raises(UnsupportedValue, match="purpose"):
        desk.upload("search", "x", "fine-tune", b"")
    with pytest.raises(UnsupportedValue, match="purpose"):
        desk.upload("search", "x", "batch_output", b"")
    output = run(desk, ScriptedRequests(good), create(desk, 1)).output_file_id
    assert output is not None
    with pytest.raises(InvalidRequest, match="purpose"):
        desk.create("search", output, "/v1/chat/completions", "24h")


@pytest.mark.parametrize(
    ("model", "endpoint", "refusal"),
    [
        ("dear", "/v1/chat/completions", UnsupportedValue),
        ("nobody", "/v1/chat/completions", DeploymentNotFound),
        ("chat", "/v1/embeddings", OperationNotSupported),
        ("old", "/v1/chat/completions", ModelRetired),
        ("early", "/v1/chat/completions", PermissionDenied),
        ("empty", "/v1/chat/completions", DeploymentNotFound),
    ],
)
def test_a_batch_whose_requests_would_be_refused_is_refused(
    desk: Desk, model: str, endpoint: str, refusal: type[EntrepotError]
) -> None:
    with pytest.raises(refusal, match=model):
        desk.create("search", upload(desk, 1, model), endpoint, "24h")


def test_a_tier_that_has_ended_is_refused(desk: Desk, clock: ManualClock) -> None:
    clock.at += SECOND
    with pytest.raises(UnsupportedValue, match="no batch price"):
        create(desk, 1)


def test_a_batch_asked_of_one_deployment_runs_no_other(desk: Desk) -> None:
    assert desk.create("search", upload(desk, 1), "/v1/chat/completions", "24h", deployment="chat").id
    with pytest.raises(InvalidRequest, match=r"'dear'.*'chat'"):
        desk.create("search", upload(desk, 1), "/v1/chat/completions", "24h", deployment="dear")


def test_a_batch_cancelled_before_its_turn_is_not_begun(desk: Desk) -> None:
    batch = create(desk, 2)
    desk.cancel("search", batch.id)
    requests = ScriptedRequests(good)
    ended = run(desk, requests, batch)
    assert (ended.status, requests.sent) == ("cancelled", [])
    assert run(desk, requests, batch) == ended


def test_the_last_request_is_asked_again_when_it_could_not_be(desk: Desk) -> None:
    requests = ScriptedRequests(lambda task: good(task) if task.line < 3 else None)
    batch = run(desk, requests, create(desk, 3))
    assert (batch.status, batch.request_counts.completed) == ("in_progress", 2)
    requests.script = good
    assert run(desk, requests, batch).request_counts.completed == 3
    assert requests.sent == ["t1", "t2", "t3", "t3"]


def test_an_input_file_stays_while_it_is_needed(desk: Desk) -> None:
    batch = create(desk, 1)
    with pytest.raises(InvalidRequest, match=batch.id):
        desk.remove("search", batch.input_file_id)
    run(desk, ScriptedRequests(good), batch)
    desk.remove("search", batch.input_file_id)
    with pytest.raises(NotFound):
        desk.store.file("search", batch.input_file_id)


def test_what_is_removed_is_gone(desk: Desk) -> None:
    """Given a batch that has ended and whose files are removed, none of its answers is kept elsewhere."""
    batch = run(desk, ScriptedRequests(good), create(desk, 3))
    assert batch.output_file_id is not None
    desk.remove("search", batch.output_file_id)
    assert desk.store.answers(batch.id) == []
    assert [file.id for file in desk.store.files("search")] == [batch.input_file_id]


def test_a_batch_whose_file_is_gone_fails(desk: Desk) -> None:
    batch = create(desk, 1)
    desk.store.remove_file("search", batch.input_file_id)
    ended = run(desk, ScriptedRequests(good), batch)
    assert ended.errors is not None
    assert (ended.status, ended.errors.data[0].code) == ("failed", "file_not_found")
