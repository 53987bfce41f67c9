"""Files and batches of a project: uploading, asking, and running a batch to its end."""

import asyncio
from collections.abc import Callable

import msgspec

from entrepot.core import jobs
from entrepot.core.errors import DeploymentNotFound, InvalidRequest, NotFound, UnsupportedValue
from entrepot.core.jobs import ENDED, Batch, StoredFile, Task, TaskAnswer
from entrepot.core.periods import SECOND
from entrepot.core.tokens import BATCH_TIER
from entrepot.jobs.batch_file import ENDPOINTS, answered_well, model_of, read_tasks, write_answers
from entrepot.ports.clock import Clock
from entrepot.ports.jobs import BatchRequests, JobStore
from entrepot.ports.snapshots import Snapshots
from entrepot.routing.plan import check_tier, deployment_for

NOT_RUN = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


class Desk:
    """What the job API works with.

    snapshots: what gateways serve from, so that a batch is refused where its requests would be. mint: a fresh
    unguessable id for a prefix.
    """

    def __init__(self, store: JobStore, snapshots: Snapshots, clock: Clock, mint: Callable[[str], str]) -> None:
        self.store = store
        self._snapshots = snapshots
        self._clock = clock
        self._mint = mint

    def now_s(self) -> int:
        """The current time in whole seconds."""
        return self._clock.now() // SECOND

    def upload(self, project: str, filename: str, purpose: str, content: bytes) -> StoredFile:
        """The stored file. Raises: UnsupportedValue for a purpose other than batch."""
        if purpose != "batch":
            raise UnsupportedValue(f"purpose {purpose!r} is not supported; files are for batches", param="purpose")
        file = StoredFile(self._mint("file-"), len(content), self.now_s(), filename, purpose)
        self.store.save_file(project, file, content)
        return file

    def remove(self, project: str, file_id: str) -> None:
        """Removes a file for good. Raises: NotFound, InvalidRequest while a batch needs it."""
        for of, batch in self.store.unfinished():
            if (of, batch.input_file_id) == (project, file_id):
                raise InvalidRequest(f"The batch {batch.id} needs the file and has not ended; cancel it first.")
        self.store.remove_file(project, file_id)

    def create(
        self,
        project: str,
        input_file_id: str,
        endpoint: str,
        window: str,
        metadata: dict[str, str] | None = None,
        deployment: str = "",
    ) -> Batch:
        """A new batch, waiting to be validated and run. deployment: which one it must be for, or "".

        Raises: NotFound, InvalidRequest, UnsupportedValue, DeploymentNotFound, OperationNotSupported, ModelRetired,
        PermissionDenied.
        """
        if endpoint not in ENDPOINTS:
            raise UnsupportedValue(
                f"endpoint {endpoint!r} cannot run in a batch; use one of {', '.join(ENDPOINTS)}", param="endpoint"
            )
        if window != "24h":
            raise UnsupportedValue("completion_window must be 24h", param="completion_window")
        if self.store.file(project, input_file_id).purpose != "batch":
            raise InvalidRequest(f"file {input_file_id} was not uploaded with purpose batch", param="input_file_id")
        self._check_sold(project, model_of(self.store.content(project, input_file_id)), endpoint, deployment)
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

    def _check_sold(self, project: str, model: str, endpoint: str, deployment: str) -> None:
        """Refuses what every request of the batch would be refused for. A file that cannot be read fails later."""
        if deployment and model and model != deployment:
            raise InvalidRequest(
                f"The batch is asked of the deployment {deployment!r}, and its input file names {model!r}.",
                param="input_file_id",
            )
        if not model:
            return
        snapshot = self._snapshots.load()
        served = None if snapshot is None else snapshot.projects.get(project)
        if served is None:
            raise DeploymentNotFound("Nothing is published for this project yet.", param="model")
        at = self._clock.now()
        check_tier(deployment_for(served, model, ENDPOINTS[endpoint], at), BATCH_TIER, at)

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
    batch = desk.store.batch(project, batch.id)  # It may have been cancelled since it was looked up.
    if batch.status in ENDED:
        return batch
    tasks, faults = _tasks(desk, project, batch)
    if faults:
        return _saved(desk, project, jobs.fail(batch, faults, desk.now_s()))
    if batch.status == "validating":
        batch = _saved(desk, project, jobs.start(batch, len(tasks), desk.now_s()))
    kept = desk.store.answers(batch.id)
    answered, failed = len(kept), sum(not answered_well(answer) for answer in kept)
    lines = {answer.line for answer in kept}
    waiting = [task for task in tasks if task.line not in lines]
    done = 0
    while done < len(waiting) and batch.status == "in_progress" and desk.now_s() < batch.expires_at:
        group = waiting[done : done + parallel]
        done += len(group)
        answers = await asyncio.gather(*(requests.send(project, ENDPOINTS[batch.endpoint], task) for task in group))
        for answer in filter(None, answers):
            desk.store.save_answer(batch.id, answer)
            answered += 1
            failed += not answered_well(answer)
        # Read again: the batch may have been cancelled while its requests ran.
        batch = _saved(desk, project, jobs.count(desk.store.batch(project, batch.id), answered, failed))
        if None in answers:
            return batch
    return _finish(desk, project, batch, waiting[done:])


def _tasks(desk: Desk, project: str, batch: Batch) -> tuple[list[Task], tuple[jobs.BatchFault, ...]]:
    try:
        return read_tasks(desk.store.content(project, batch.input_file_id), batch.endpoint)
    except NotFound as error:
        return [], (jobs.BatchFault("file_not_found", error.message, "input_file_id"),)


def _finish(desk: Desk, project: str, batch: Batch, waiting: list[Task]) -> Batch:
    ended = jobs.end(batch, desk.now_s(), output_file_id=None, error_file_id=None)
    reason = msgspec.json.encode({"code": NOT_RUN.get(ended.status, ""), "message": f"the batch was {ended.status}"})
    not_run = [TaskAnswer(task.line, task.custom_id, 0, "", reason) for task in waiting]
    output, errors = write_answers(batch.id, [*desk.store.answers(batch.id), *not_run])
    files = [_keep(desk, project, batch, name, text) for name, text in (("output", output), ("error", errors))]
    return _saved(desk, project, jobs.end(batch, desk.now_s(), output_file_id=files[0], error_file_id=files[1]))


def _keep(desk: Desk, project: str, batch: Batch, name: str, content: bytes) -> str | None:
    """The id of the stored file, the same whenever the batch ends again, or None when there is nothing to store."""
    if not content:
        return None
    file_id = f"file-{batch.id.removeprefix('batch_')}-{name}"
    file = StoredFile(file_id, len(content), desk.now_s(), f"{batch.id}_{name}.jsonl", "batch_output")
    desk.store.save_file(project, file, content)
    return file_id


def _saved(desk: Desk, project: str, batch: Batch) -> Batch:
    desk.store.save_batch(project, batch)
    return batch
