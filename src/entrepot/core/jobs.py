"""Jobs: stored files and batches, with the life of a batch as pure steps.

Field names and states are those of the public batch API, so that a batch prints as it stands.
Source: OpenAI OpenAPI 2.3.0, schemas OpenAIFile, Batch, BatchError.
"""

from typing import Literal

import msgspec

BatchStatus = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]
ENDED: tuple[BatchStatus, ...] = ("failed", "completed", "expired", "cancelled")

COMPLETION_WINDOW_S = 24 * 3600
TASKS_MAX = 100_000  # Source: the original's limit of requests in one batch file.


class StoredFile(msgspec.Struct, frozen=True):
    """A file a project uploaded, or that a batch wrote. Times here and below are whole seconds since the epoch."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    object: Literal["file"] = "file"
    status: Literal["processed"] = "processed"


class BatchFault(msgspec.Struct, frozen=True):
    """Why an input file cannot be run. line: counted from 1, or None for the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class BatchFaults(msgspec.Struct, frozen=True):
    """The faults of an input file as the API prints them."""

    data: tuple[BatchFault, ...]
    object: Literal["list"] = "list"


class RequestCounts(msgspec.Struct, frozen=True):
    """How many of a batch's requests there are, were answered with 2xx, and were not."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(msgspec.Struct, frozen=True):
    """A batch job. expires_at: after it, what has not run is not run."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    created_at: int
    expires_at: int
    metadata: dict[str, str] | None = None
    object: Literal["batch"] = "batch"
    status: BatchStatus = "validating"
    errors: BatchFaults | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    request_counts: RequestCounts = RequestCounts()


class Task(msgspec.Struct, frozen=True):
    """One request of a batch: its line in the input file, its caller-chosen id, and the body to send, verbatim."""

    line: int
    custom_id: str
    body: bytes


class TaskAnswer(msgspec.Struct, frozen=True):
    """What a task got. body: the answer as JSON bytes, verbatim; status 0: it was not run, body says why."""

    line: int
    custom_id: str
    status: int
    request_id: str
    body: bytes


def start(batch: Batch, total: int, at: int) -> Batch:
    """The batch running its requests."""
    return msgspec.structs.replace(
        batch, status="in_progress", in_progress_at=at, request_counts=RequestCounts(total=total)
    )


def fail(batch: Batch, faults: tuple[BatchFault, ...], at: int) -> Batch:
    """The batch refused for its input file."""
    return msgspec.structs.replace(batch, status="failed", failed_at=at, errors=BatchFaults(faults))


def cancel(batch: Batch, at: int) -> Batch:
    """The batch asked to stop; one that has ended, or is stopping, stays as it is."""
    if batch.status in (*ENDED, "cancelling", "finalizing"):
        return batch
    return msgspec.structs.replace(batch, status="cancelling", cancelling_at=at)


def count(batch: Batch, answers: int, failed: int) -> Batch:
    """The batch with its progress."""
    counts = RequestCounts(total=batch.request_counts.total, completed=answers - failed, failed=failed)
    return msgspec.structs.replace(batch, request_counts=counts)


def end(batch: Batch, at: int, *, output_file_id: str | None, error_file_id: str | None) -> Batch:
    """The batch ended as its state decides: cancelled, expired or completed, with the files it wrote."""
    batch = msgspec.structs.replace(batch, finalizing_at=at, output_file_id=output_file_id, error_file_id=error_file_id)
    if batch.status == "cancelling":
        return msgspec.structs.replace(batch, status="cancelled", cancelled_at=at)
    done = batch.request_counts.completed + batch.request_counts.failed
    if done < batch.request_counts.total:
        return msgspec.structs.replace(batch, status="expired", expired_at=at)
    return msgspec.structs.replace(batch, status="completed", completed_at=at)
