"""A plugin of pytest in the library's own tests: puts in place what they name, and leaves out what asks nobody.

It is loaded by name (run.py), where the package `tests` is the library's.
"""

import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.job_store import SqliteJobStore
from entrepot.core.jobs import Batch, StoredFile

_ABSENT: dict[str, tuple[str, list[str]]] = json.loads(os.environ["ENTREPOT_LIBRARY_TESTS_ABSENT"])
_PROJECT = "search"
_LINE = b'{"custom_id":"1","method":"POST","url":"/v1/responses","body":{"model":"gpt-6-astra","input":"hi"}}\n'


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Leaves out what never leaves the client (empty ids, answers of the test's own), and what is not here."""
    asks = [item for item in items if not _answers_itself(item) and not _is_absent(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in asks])
    items[:] = asks


def _answers_itself(item: Any) -> bool:
    return "path_params" in item.name or "respx2_mock" in item.fixturenames


def _is_absent(item: Any) -> bool:
    return any(
        item.nodeid.startswith(f"tests/api_resources/{path}")
        and any(re.search(rf"{name}(_|\[)", item.name) for name in names)
        for path, names in _ABSENT.values()
    )


@pytest.fixture(autouse=True)
def _what_the_tests_name() -> None:
    """Files and a batch of the ids that the tests name, as if the project had made them; anew, for some are deleted."""
    store = SqliteJobStore(Path(os.environ["ENTREPOT_LIBRARY_TESTS_JOBS"]))
    now = int(time.time())
    for name, purpose in (("file_id", "batch_output"), ("input_file_id", "batch")):
        store.save_file(_PROJECT, StoredFile(name, len(_LINE), now, "requests.jsonl", purpose), _LINE)
    batch = Batch("batch_id", "/v1/responses", "input_file_id", "24h", now, now + 86400, status="in_progress")
    store.save_batch(_PROJECT, batch)
    store.close()
