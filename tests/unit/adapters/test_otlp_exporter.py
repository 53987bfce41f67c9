"""Batches on their way to a collector that is there, slow, failing, or not there."""

import socket
from functools import partial

import pytest

from entrepot.adapters.handed_on import batch_thread
from entrepot.adapters.handed_on.otlp_exporter import OtlpExporter
from entrepot.core.errors import BadInput
from tests.support.gateway import eventually
from tests.support.otlp_collector import running_collector

BATCH = b'{"resourceSpans":[]}'


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is handed on before an end, however slow the machine is."""
    monkeypatch.setattr(batch_thread, "_ENDING_S_MAX", 60.0)


def test_batches_arrive() -> None:
    with running_collector() as collector:
        exporter = OtlpExporter(collector.url)
        for _ in range(3):
            exporter.offer(BATCH, 2)
        exporter.close()
        assert len(collector.requests) == 3
    assert (exporter.taken, exporter.dropped) == (6, 0)


def test_a_collector_that_refuses_costs_its_spans() -> None:
    with running_collector() as collector:
        collector.status = 503
        exporter = OtlpExporter(f"{collector.url}/")
        exporter.offer(BATCH, 2)
        eventually(lambda: exporter.dropped == 2)
        collector.status = 200
        exporter.offer(BATCH, 1)
        exporter.close()
    assert (exporter.taken, exporter.dropped) == (1, 2)


def test_a_collector_that_is_not_there_costs_its_spans() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    exporter = OtlpExporter(f"http://127.0.0.1:{port}")
    exporter.offer(BATCH, 2)
    exporter.close()
    assert (exporter.taken, exporter.dropped) == (0, 2)


def test_a_slow_collector_is_waited_for_up_to_a_bound() -> None:
    with running_collector() as collector:
        collector.gate.clear()
        exporter = OtlpExporter(collector.url, waiting_bytes_max=3 * len(BATCH))
        for _ in range(10):
            exporter.offer(BATCH, 1)
        assert exporter.dropped == 7
        collector.gate.set()
        exporter.close()
    assert (exporter.taken, exporter.dropped) == (3, 7)


def test_a_connection_that_the_collector_closed_is_made_anew() -> None:
    with running_collector() as collector:
        collector.hangs_up = True
        exporter = OtlpExporter(collector.url)
        for count in (1, 2, 3):
            exporter.offer(BATCH, 1)
            eventually(partial(lambda taken: exporter.taken == taken, count))
        exporter.close()
    assert exporter.dropped == 0


@pytest.mark.parametrize("endpoint", ["127.0.0.1:4318", "ftp://x", "http://", "http://x/?a=b"])
def test_an_endpoint_that_cannot_be_one(endpoint: str) -> None:
    with pytest.raises(BadInput, match="must be like"):
        OtlpExporter(endpoint)
