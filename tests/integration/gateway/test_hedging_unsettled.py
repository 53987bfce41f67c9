"""A hedged request that is not settled is one of the upstream that answered it, though the other one is still heard."""

from collections.abc import Iterator

import pytest

from entrepot.core.log_records import AttemptEnded, InstanceLost, LogRecord, UsageRecorded
from entrepot.core.upstream_rules import PoolRules, UpstreamRules
from entrepot.ports.books import Books
from tests.support.billing import applied, folded, prices, version, world
from tests.support.gateway import Gateway, deployment, eventually, running_gateway, target
from tests.support.requests import chat, read_to_end, read_until, request_bytes
from tests.support.usage_rows import row

DRAIN = UpstreamRules(on_client_abort="drain")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def books_of(*records: LogRecord) -> Books:
    table = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "1"))
    return folded(applied(world(version(table))), *records)


def answered_by_the_first(gateway: Gateway, script: str, mark: bytes) -> None:
    """Has the first upstream answer as the script says, while the second, which was asked as well, is heard out."""
    first = gateway.another_upstream(f"stall=0 {script}")
    gateway.upstream.script = "stall=0 chunks=1"
    targets = target(first.base_url, "first"), target(gateway.upstream.base_url, "second", rank=1)
    gateway.serve(deployment("chat", *targets, routing=PoolRules(hedge_after_ms=20)), first=DRAIN, second=DRAIN)
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("two words", stream=True)))
        eventually(lambda: gateway.upstream.served)
        gateway.let_go_on(first)
        assert b"w2 " in (read_until(client, mark) if mark else read_to_end(client))


@row("gateway lost")
def test_one_whose_gateway_is_lost(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4", b"[DONE]")
    gateway.usage()
    unsettled = [record for record in gateway.sink.records if not isinstance(record, UsageRecorded)]
    admitted = gateway.admitted()
    [request] = books_of(*unsettled, InstanceLost(admitted.instance, admitted.at)).open_requests(given_up=True)
    assert request.upstream == "first"


@row("upstream failed midway")
def test_one_whose_upstream_breaks_off(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4 break=2", b"")
    assert gateway.abandoned().output_tokens == 2
    [request] = books_of(*gateway.sink.records).open_requests(given_up=True)
    assert request.upstream == "first"


@row("outrun")
def test_what_the_other_one_used_is_added_when_it_is_known(gateway: Gateway) -> None:
    answered_by_the_first(gateway, "chunks=4", b"[DONE]")
    usage = gateway.usage()
    gateway.let_go_on(gateway.upstream)
    eventually(lambda: any(ended.raw for ended in gateway.of(AttemptEnded)))
    begun, ended = books_of(*gateway.sink.records).attempts([usage.id])[-1:], gateway.of(AttemptEnded)
    assert [(record.number, record.upstream, record.outcome) for record in ended] == [(2, "second", "outrun")] * 2
    assert [attempt.ended for attempt in begun] == [ended[-1]]
    assert ended[-1].meters == {"input_tokens": 2, "output_tokens": 1}
