"""Adapters under the contract of their port."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.adapters.sql.books import open_books
from entrepot.ports.books import Books


@pytest.fixture(params=["file", "memory", "temporary"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    path = {"file": str(tmp_path / "deep" / "books.db"), "memory": ":memory:", "temporary": ""}[request.param]
    opened = open_books(path)
    yield opened
    opened.close()
