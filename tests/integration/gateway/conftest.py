"""Gateways that several files of tests talk to."""

from collections.abc import Iterator

import pytest

from tests.support.gateway_processes import Installation, installed
from tests.support.realtime import Realtime, running_realtime


@pytest.fixture
def realtime() -> Iterator[Realtime]:
    with running_realtime() as running:
        yield running


@pytest.fixture(scope="module")
def home() -> Iterator[Installation]:
    """A data directory and an upstream, for all tests of a file."""
    with installed() as made:
        yield made


@pytest.fixture
def installation(home: Installation) -> Installation:
    """The same, begun anew for each test."""
    home.begin()
    return home
