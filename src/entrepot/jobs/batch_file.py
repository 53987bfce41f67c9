"""Batch input files read into tasks, and task answers written as output files."""

from collections.abc import Iterable

import msgspec

from entrepot.core.catalog import Operation
from entrepot.core.jobs import TASKS_MAX, BatchFault, Task, TaskAnswer

_OPERATIONS: dict[str, Operation] = {
    "chat/completions": "chat",
    "completions": "completions",
    "embeddings": "embeddings",
    "responses": "responses",
    "images/generations": "images",
    "moderations": "moderations",
    "rerank": "rerank",
}
# What a batch may run, by the paths that clients of either dialect write.
ENDPOINTS: dict[str, Operation] = {
    f"{prefix}/{path}": operation for path, operation in _OPERATIONS.items() for prefix in ("", "/v1", "/openai/v1")
}


class _InputLine(msgspec.Struct):
    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


class _Body(msgspec.Struct):
    model: str
    stream: bool | None = None


_line_decoder = msgspec.json.Decoder(_InputLine)
_body_decoder = msgspec.json.Decoder(_Body)
_encoder = msgspec.json.Encoder()

FAULTS_SHOWN = 50
_MARK = b"\xef\xbb\xbf"  # Some editors begin a file of UTF-8 with it.


def read_tasks(content: bytes, endpoint: str) -> tuple[list[Task], tuple[BatchFault, ...]]:
    """(the tasks, the faults): with any fault the batch must not run. endpoint: a key of ENDPOINTS."""
    tasks: list[Task] = []
    faults: list[BatchFault] = []
    seen: dict[str, int] = {}
    models: set[str] = set()
    for number, line in enumerate(content.removeprefix(_MARK).splitlines(), start=1):
        if not line.strip():
            continue
        fault = _read_line(line, number, endpoint, seen, models, tasks)
        if fault is not None:
            faults.append(fault)
    if not tasks and not faults:
        faults.append(BatchFault("empty_file", "the input file has no request; write one JSON object a line"))
    if len(tasks) > TASKS_MAX:
        faults.append(BatchFault("too_many_tasks", f"{len(tasks)} requests; a batch takes at most {TASKS_MAX}"))
    return tasks, tuple(faults[:FAULTS_SHOWN])


def _read_line(
    line: bytes, number: int, endpoint: str, seen: dict[str, int], models: set[str], tasks: list[Task]
) -> BatchFault | None:
    try:
        item = _line_decoder.decode(line)
        body = _body_decoder.decode(item.body)
    except msgspec.DecodeError as error:
        return BatchFault("invalid_json_line", f"not a batch request: {error}", line=number)
    if item.method != "POST":
        return BatchFault("invalid_method", f"method is {item.method!r}; only POST runs in a batch", "method", number)
    if ENDPOINTS.get(item.url) != ENDPOINTS[endpoint]:
        return BatchFault("url_mismatch", f"url is {item.url!r}, the batch's endpoint {endpoint!r}", "url", number)
    if item.custom_id in seen:
        message = f"custom_id {item.custom_id!r} stands on line {seen[item.custom_id]} already"
        return BatchFault("duplicate_custom_id", message, "custom_id", number)
    if body.stream:
        return BatchFault("invalid_request", "stream is true; a batch's answers are whole", "body.stream", number)
    models.add(body.model)
    if len(models) > 1:
        return BatchFault("model_mismatch", f"model is {body.model!r}; one batch runs one model", "body.model", number)
    seen[item.custom_id] = number
    tasks.append(Task(number, item.custom_id, bytes(item.body)))
    return None


def model_of(content: bytes) -> str:
    """The model (deployment) that the first request of an input file asks for, or "" when it cannot be read."""
    try:
        first = next(line for line in content.removeprefix(_MARK).splitlines() if line.strip())
        return _body_decoder.decode(_line_decoder.decode(first).body).model
    except (StopIteration, msgspec.DecodeError):
        return ""


def answered_well(answer: TaskAnswer) -> bool:
    """Whether a task's answer is a success."""
    return 200 <= answer.status < 300


def write_answers(batch_id: str, answers: Iterable[TaskAnswer]) -> tuple[bytes, bytes]:
    """(the output file, the error file): answers with 2xx, and all others; one JSON object a line, in task order."""
    good: list[bytes] = []
    bad: list[bytes] = []
    for answer in sorted(answers, key=lambda answer: answer.line):
        (good if answered_well(answer) else bad).append(_encoder.encode(_output(batch_id, answer)))
    return _lines(good), _lines(bad)


def _output(batch_id: str, answer: TaskAnswer) -> dict[str, object]:
    body = msgspec.Raw(answer.body)
    response = {"status_code": answer.status, "request_id": answer.request_id, "body": body}
    return {
        "id": f"{batch_id}_{answer.line}",
        "custom_id": answer.custom_id,
        "response": response if answer.status else None,
        "error": None if answer.status else body,
    }


def _lines(items: list[bytes]) -> bytes:
    return b"".join(item + b"\n" for item in items)
