"""What is kept of the gateway's answers for a batch's output file, which has one JSON object a line."""

import json

import pytest

from entrepot.adapters.gateway_requests import _as_json


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_answer_is_one_line_however_it_was_written(end: str) -> None:
    written = json.dumps({"text": "two\r\nlines"}, indent=1).replace("\n", end).encode()
    kept = _as_json(written)
    assert len(kept.splitlines()) == 1
    assert json.loads(kept) == {"text": "two\r\nlines"}


def test_what_is_no_json_is_kept_as_text() -> None:
    assert json.loads(_as_json(b"busy\r\n")) == "busy\r\n"
