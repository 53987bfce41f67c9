"""Files and batches of a project: uploading, asking, and running a batch to its end."""

import asyncio
from collections.abc import Callable

import msgspec

from entrepot.core import jobs
from entrepot.core.errors import InvalidRequest, UnsupportedValue
from entrepot.core.jobs import Batch, StoredFile, Task, TaskAnswer
from entrepot.core.periods import SECOND
from entrepot.jobs.batch_file import ENDPOINTS, answered_well, read_tasks, write_answers
from entrepot.ports.clock import Clock
from entrepot.ports.jobs import BatchRequests, JobStore

NOT_RUN = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


class Desk:
    """What the job API works with. mint: a fresh unguessable id for a prefix."""

    def __init__(self, store: JobStore, clock: Clock, mint: Callable[[str], str]) -> None:
        self.store = store
        self._clock = clock
        self._mint = mint

    def now_s(self) -> int:
        """The current time in whole seconds."""
        return self._clock.now() // SECOND

    def upload(self, project: str, filename: str, purpose: str, content: bytes) -> StoredFile:
        """The stored file. Raises: UnsupportedValue for a purpose other than batch."""
        if purpose not in ("batch", "batch_output"):
            raise UnsupportedValue(f"purpose {purpose!r} is not supported; files are for batches", param="purpose")
        file = StoredFile(self._mint("file-"), len(content), self.now_s(), filename, purpose)
        self.store.save_file(project, file, content)
        return file

    def create(
        self, project: str, input_file_id: str, endpoint: str, window: str, metadata: dict[str, str] | None
    ) -> Batch:
        """A new batch, waiting to be validated and run. Raises: NotFound, InvalidRequest, UnsupportedValue."""
        if endpoint not in ENDPOINTS:
            raise UnsupportedValue(f"endpoint {endpoint!r} cannot run in a batch; use one of {', '.join(ENDPOINTS)}")
        if window != "24h":
            raise UnsupportedValue("completion_window must be 24h", param="completion_window")
        if self.store.file(project, input_file_id).purpose != "batch":
            raise InvalidRequest(f"file {input_file_id} was not uploaded with purpose batch", param="input_file_id")
        at = self.now_s()
        batch = Batch(
            id=self._mint("batch_"),
            endpoint=endpoint,
            input_file_id=input_file_id,
            completion_window=window,
            created_at=at,
            expires_at=at + jobs.COMPLETION_WINDOW_S,
            metadata=metadata,
        )
        self.store.save_batch(project, batch)
        return batch

    def cancel(self, project: str, batch_id: str) -> Batch:
        """The batch, asked to stop. Raises: NotFound."""
        batch = jobs.cancel(self.store.batch(project, batch_id), self.now_s())
        self.store.save_batch(project, batch)
        return batch


async def run_batch(desk: Desk, requests: BatchRequests, project: str, batch: Batch, *, parallel: int = 4) -> Batch:
    """The batch at its end, or as far as it came while the gateway could be reached.

    May be interrupted anywhere and run again: answers that were kept are not asked for again. A request whose answer
    was not kept may be sent twice, and both are real usage.
    """
    tasks, faults = _tasks(desk, project, batch)
    if faults:
        return _saved(desk, project, jobs.fail(batch, faults, desk.now_s()))
    if batch.status == "validating":
        batch = _saved(desk, project, jobs.start(batch, len(tasks), desk.now_s()))
    kept = {answer.line: answered_well(answer) for answer in desk.store.answers(batch.id)}
    waiting = [task for task in tasks if task.line not in kept]
    reached = True
    while waiting and reached and batch.status == "in_progress" and desk.now_s() < batch.expires_at:
        group, waiting = waiting[:parallel], waiting[parallel:]
        operation = ENDPOINTS[batch.endpoint]
        answers = await asyncio.gather(*(requests.send(project, operation, task) for task in group))
        reached = all(answer is not None for answer in answers)
        for answer in filter(None, answers):
            desk.store.save_answer(batch.id, answer)
            kept[answer.line] = answered_well(answer)
        # Read again: the batch may have been cancelled while its requests ran.
        stored = desk.store.batch(project, batch.id)
        batch = _saved(desk, project, jobs.count(stored, len(kept), list(kept.values()).count(False)))
    if waiting and not reached:
        return batch
    return _finish(desk, project, batch, waiting)


def _tasks(desk: Desk, project: str, batch: Batch) -> tuple[list[Task], tuple[jobs.BatchFault, ...]]:
    return read_tasks(desk.store.content(project, batch.input_file_id), batch.endpoint)


def _finish(desk: Desk, project: str, batch: Batch, waiting: list[Task]) -> Batch:
    ended = jobs.end(batch, desk.now_s(), output_file_id=None, error_file_id=None)
    reason = msgspec.json.encode({"code": NOT_RUN.get(ended.status, ""), "message": f"the batch was {ended.status}"})
    not_run = [TaskAnswer(task.line, task.custom_id, 0, "", reason) for task in waiting]
    output, errors = write_answers(batch.id, [*desk.store.answers(batch.id), *not_run])
    files = [
        desk.upload(project, f"{batch.id}_{name}.jsonl", "batch_output", content).id if content else None
        for name, content in (("output", output), ("error", errors))
    ]
    return _saved(desk, project, jobs.end(batch, desk.now_s(), output_file_id=files[0], error_file_id=files[1]))


def _saved(desk: Desk, project: str, batch: Batch) -> Batch:
    desk.store.save_batch(project, batch)
    return batch
