"""Batch input and output files."""

import json

import pytest

from entrepot.core.jobs import TaskAnswer
from entrepot.jobs.batch_file import model_of, read_tasks, write_answers


def line(custom_id: str = "a", url: str = "/v1/chat/completions", method: str = "POST", **body: object) -> bytes:
    body = {"model": "chat", **body}
    return json.dumps({"custom_id": custom_id, "method": method, "url": url, "body": body}).encode()


def test_a_task_keeps_its_body_byte_for_byte() -> None:
    body = b'{"model" : "chat",  "x":1.10}'
    raw = b'{"custom_id":"a","method":"POST","url":"/chat/completions","body":' + body + b"}"
    tasks, faults = read_tasks(b"\xef\xbb\xbf" + raw + b"\r\n\r\n", "/v1/chat/completions")
    assert not faults
    assert [(task.line, task.custom_id, task.body) for task in tasks] == [(1, "a", body)]


def test_the_model_of_a_file_is_that_of_its_first_request() -> None:
    assert model_of(b"\xef\xbb\xbf\r\n" + line(model="other") + b"\n" + line()) == "other"
    assert [model_of(content) for content in (b"", b"\n", b"{", b"[]")] == [""] * 4


@pytest.mark.parametrize(
    ("content", "code", "number"),
    [
        (b"", "empty_file", None),
        (b"{", "invalid_json_line", 1),
        (line() + b"\n[1]", "invalid_json_line", 2),
        (line(url="/v1/embeddings"), "url_mismatch", 1),
        (line(url="/v1/nothing"), "url_mismatch", 1),
        (line(method="GET"), "invalid_method", 1),
        (line() + b"\n\n" + line(), "duplicate_custom_id", 3),
        (line() + b"\n" + line("b", model="other"), "model_mismatch", 2),
        (line(stream=True), "invalid_request", 1),
    ],
)
def test_a_faulty_file_is_refused_with_the_line(content: bytes, code: str, number: int | None) -> None:
    _, faults = read_tasks(content, "/v1/chat/completions")
    assert [(fault.code, fault.line) for fault in faults] == [(code, number)]


def test_answers_go_to_the_output_file_or_the_error_file_in_task_order() -> None:
    answers = [
        TaskAnswer(3, "c", 0, "", b'{"code":"batch_expired"}'),
        TaskAnswer(2, "b", 400, "r2", b'{"error":{}}'),
        TaskAnswer(1, "a", 200, "r1", b'{"choices":[]}'),
    ]
    good, bad = write_answers("batch_1", answers)
    assert json.loads(good) == {
        "id": "batch_1_1",
        "custom_id": "a",
        "response": {"status_code": 200, "request_id": "r1", "body": {"choices": []}},
        "error": None,
    }
    second, third = map(json.loads, bad.splitlines())
    assert second["response"]["status_code"] == 400
    assert third["response"] is None
    assert third["error"] == {"code": "batch_expired"}
