"""What jobs ask of the outside world: a store for files and batches, and a way to send their requests."""

from typing import Protocol

from entrepot.core.catalog import Operation
from entrepot.core.jobs import Batch, StoredFile, Task, TaskAnswer


class JobStore(Protocol):
    """Files, batches and answers of projects. Every change is durable when the method returns."""

    def save_file(self, project: str, file: StoredFile, content: bytes) -> None:
        """Keeps a file and its content, or neither; in the place of what has its id."""
        ...

    def file(self, project: str, file_id: str) -> StoredFile:
        """Raises: NotFound, also for another project's file."""
        ...

    def files(self, project: str) -> list[StoredFile]:
        """The project's files, newest first."""
        ...

    def content(self, project: str, file_id: str) -> bytes:
        """Raises: NotFound."""
        ...

    def remove_file(self, project: str, file_id: str) -> None:
        """Raises: NotFound."""
        ...

    def save_batch(self, project: str, batch: Batch) -> None:
        """Inserts or replaces a batch; one that has ended lets go of its answers, which its output files hold."""
        ...

    def batch(self, project: str, batch_id: str) -> Batch:
        """Raises: NotFound, also for another project's batch."""
        ...

    def batches(self, project: str) -> list[Batch]:
        """The project's batches, newest first."""
        ...

    def unfinished(self) -> list[tuple[str, Batch]]:
        """(project, batch) of all that have not ended, oldest first."""
        ...

    def save_answer(self, batch_id: str, answer: TaskAnswer) -> None:
        """Keeps a task's answer; the first one stands."""
        ...

    def answers(self, batch_id: str) -> list[TaskAnswer]:
        """The answers so far, by line."""
        ...


class BatchRequests(Protocol):
    """Sending a batch's requests as its project, at the batch tier."""

    async def send(self, project: str, operation: Operation, task: Task) -> TaskAnswer | None:
        """The gateway's answer, or None when it could not be reached or asked to try later."""
        ...
