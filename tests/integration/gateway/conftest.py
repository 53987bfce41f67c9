"""Gateways that several files of tests talk to."""

from collections.abc import Iterator

import pytest

from tests.support.realtime import Realtime, running_realtime


@pytest.fixture
def realtime() -> Iterator[Realtime]:
    with running_realtime() as running:
        yield running
