"""Upstreams of one deployment: who is asked, who is asked next, and what the log holds of each attempt."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from entrepot.core.log_records import Admitted, Attempted, AttemptEnded, UsageRecorded
from entrepot.core.upstream_rules import HealthRules, PoolRules, UpstreamRules
from tests.scripted_upstream import ScriptedUpstream
from tests.support.gateway import WAIT_S_MAX, Gateway, deployment, eventually, running_gateway, target
from tests.support.recording_upstream import whole
from tests.support.requests import ask, chat, read_until, request_bytes
from tests.support.usage_rows import row


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway() as running:
        yield running


def pair(
    gateway: Gateway, script: str = "", routing: PoolRules | None = None, **rules: UpstreamRules
) -> ScriptedUpstream:
    """Serves `chat` from a first upstream that does as the script says, and from the gateway's own as the second."""
    first = gateway.another_upstream(script)
    gateway.serve(
        deployment(
            "chat",
            target(first.base_url, "first"),
            target(gateway.upstream.base_url, "second", rank=1),
            routing=routing or PoolRules(),
        ),
        **rules,
    )
    return first


@row("tried elsewhere")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504])
def test_what_an_upstream_says_of_itself_is_tried_elsewhere(gateway: Gateway, status: int, stream: bool) -> None:
    first = pair(gateway, f"status={status} billed=1")
    reply = ask(gateway, chat("two words [[chunks=4]]", stream=stream))
    assert reply.status == 200
    request_id = reply.headers["x-request-id"]
    assert list(first.served) == list(gateway.upstream.served) == [request_id]
    usage = gateway.usage()
    assert (usage.upstream, usage.outcome) == ("second", "stop")
    assert usage.meters == {"input_tokens": 2, "output_tokens": 4}
    [ended] = gateway.of(AttemptEnded)
    [attempted] = gateway.of(Attempted)
    assert (ended.id, ended.number, ended.upstream, ended.outcome, ended.status) == (
        request_id, 1, "first", "refused", status,
    )  # fmt: skip
    assert ended.meters == {"input_tokens": 2, "output_tokens": 4}  # Our cost, and not the customer's.
    assert (attempted.id, attempted.number, attempted.upstream) == (request_id, 2, "second")
    assert gateway.admitted().upstream == "first"
    assert [type(record) for record in gateway.sink.records] == [Admitted, AttemptEnded, Attempted, UsageRecorded]


@row("tried elsewhere")
@pytest.mark.parametrize(("script", "outcome"), [("break=0", "broken"), ("break=0 reset=1", "broken")])
def test_an_upstream_that_breaks_before_its_first_byte_is_followed_by_another(
    gateway: Gateway, script: str, outcome: str
) -> None:
    pair(gateway, script)
    assert ask(gateway, chat("hi", stream=True)).events()[-1] == "[DONE]"
    [ended] = gateway.of(AttemptEnded)
    assert (ended.outcome, ended.status, ended.meters, ended.raw) == (outcome, 0, {}, b"")


def test_an_upstream_that_says_nothing_is_followed_by_another(gateway: Gateway) -> None:
    pair(gateway, "stall=0")
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi")))
        eventually(lambda: gateway.others[0].served)
        gateway.later(gateway.upstream_limits.first_byte_s + 1)
        assert read_until(client, b"w3").startswith(b"HTTP/1.1 200 ")
    [ended] = gateway.of(AttemptEnded)
    assert ended.outcome == "silent"


@pytest.mark.parametrize("script", ["status=400", "status=404", "cut=1", "junk=1", "gzip=1"])
def test_what_is_said_of_the_request_or_was_answered_is_not_tried_elsewhere(gateway: Gateway, script: str) -> None:
    pair(gateway, script)
    assert ask(gateway, chat("hi")).status >= 400
    assert gateway.upstream.served == {}
    assert gateway.of(AttemptEnded) == []


def test_nothing_is_tried_again_once_the_client_has_a_byte(gateway: Gateway) -> None:
    pair(gateway, "break=1")
    reply = ask(gateway, chat("hi", stream=True))
    assert b'"code":"upstream_failed"' in reply.body
    assert gateway.upstream.served == {}


@row("refused everywhere")
def test_the_last_answer_is_the_clients_when_all_refuse(gateway: Gateway) -> None:
    pair(gateway, "status=500")
    gateway.upstream.script = "status=503"
    reply = ask(gateway, chat("hi"))
    assert (reply.status, reply.error["code"]) == (503, "scripted")
    usage = gateway.usage()
    assert (usage.upstream, usage.outcome, usage.meters) == ("second", "upstream_failed", {})
    assert [(ended.number, ended.status) for ended in gateway.of(AttemptEnded)] == [(1, 500)]


@row("tried in vain")
def test_a_second_upstream_that_cannot_be_reached_ends_the_request_with_nothing_used(gateway: Gateway) -> None:
    first = gateway.another_upstream("status=500 billed=1")
    gateway.serve(deployment("chat", target(first.base_url, "first"), target("http://127.0.0.1:1/v1", "gone", rank=1)))
    assert ask(gateway, chat("hi")).status == 503
    usage = gateway.usage()
    assert (usage.outcome, usage.meters, usage.raw) == ("upstream_failed", {}, b"")
    [ended] = gateway.of(AttemptEnded)
    assert ended.meters["output_tokens"] == 3
    assert gateway.of(Attempted) == []


@pytest.mark.parametrize(
    ("routing", "served"), [(PoolRules(retries=0), 0), (PoolRules(retry_percent=0), 0), (PoolRules(retries=1), 1)]
)
def test_how_often_is_the_pools_rule(gateway: Gateway, routing: PoolRules, served: int) -> None:
    pair(gateway, "status=500", routing)
    assert ask(gateway, chat("hi")).status == (200 if served else 500)
    assert len(gateway.upstream.served) == served


def test_a_pool_that_fails_is_not_hammered(gateway: Gateway) -> None:
    never = UpstreamRules(health=HealthRules(failures=1000, requests=1000))
    first = pair(gateway, "status=500", PoolRules(retry_percent=10), first=never, second=never)
    gateway.upstream.script = "status=500"
    for _ in range(50):
        assert ask(gateway, chat("hi")).status == 500
    assert len(first.served) == 50
    assert 10 <= len(gateway.upstream.served) <= 15  # The reserve, and a tenth.


def test_a_rest_that_an_upstream_asks_for_is_kept_to(gateway: Gateway) -> None:
    first = pair(gateway, "status=429")
    for _ in range(3):
        assert ask(gateway, chat("hi")).status == 200
    assert len(first.served) == 1
    [place] = [place for place in gateway.flow.ways.fleet.endpoints if place[0] == "first"]
    endpoint = gateway.flow.ways.fleet.endpoints[place]
    assert (endpoint.health.resting, endpoint.health.state) == (True, "closed")
    gateway.do(lambda: gateway.flow.sweep(gateway.api.now() + 8_000_000))
    ask(gateway, chat("hi"))
    assert len(first.served) == 2


def test_an_upstream_that_fails_is_ejected_tried_by_one_and_taken_back(gateway: Gateway) -> None:
    first = pair(gateway, "status=500", first=UpstreamRules(health=HealthRules(failures=2)))
    for _ in range(5):
        assert ask(gateway, chat("hi")).status == 200
    assert len(first.served) == 2
    gateway.do(lambda: gateway.flow.sweep(gateway.api.now() + 6_000_000))
    first.script = ""
    for _ in range(3):
        assert ask(gateway, chat("hi")).status == 200
    assert len(first.served) == 5


@row("upstreams busy")
def test_requests_keep_to_the_number_an_upstream_takes(gateway: Gateway) -> None:
    first = pair(gateway, first=UpstreamRules(max_concurrent=1), second=UpstreamRules(max_concurrent=1))
    with gateway.connect() as one, gateway.connect() as other:
        for client in (one, other):
            client.sendall(request_bytes(chat("hi [[stall=1]]", stream=True)))
            read_until(client, b"w1 ")
        assert (len(first.served), len(gateway.upstream.served)) == (1, 1)
        reply = ask(gateway, chat("hi"))
        assert (reply.status, reply.error["code"], reply.headers["retry-after"]) == (503, "upstream_busy", "1")
    eventually(lambda: not gateway.api.connections)
    assert ask(gateway, chat("hi")).status == 200


def test_a_cache_key_keeps_to_one_upstream(gateway: Gateway) -> None:
    second = gateway.another_upstream()
    gateway.serve(deployment("chat", target(gateway.upstream.base_url, "one"), target(second.base_url, "two")))
    for key in range(8):
        for _ in range(2):
            ask(gateway, chat("hi", prompt_cache_key=f"key-{key}"))
    by_key = [event.event.upstream for event in gateway.of(UsageRecorded)]
    assert by_key[::2] == by_key[1::2]
    assert {"one", "two"} == set(by_key)
    gateway.sink.records.clear()
    for _ in range(4):
        ask(gateway, chat("hi"))
    assert [event.event.upstream for event in gateway.of(UsageRecorded)] == ["one", "two", "one", "two"]


def test_a_key_that_was_changed_is_read_again_when_the_upstream_refuses_the_old_one(gateway: Gateway) -> None:
    assert ask(gateway, chat("hi")).status == 200
    gateway.upstream.key = gateway.keys["UP_KEY"] = "sk-the-next-key"
    assert ask(gateway, chat("hi")).status == 200
    assert gateway.upstream.connections == 1
    [ended] = gateway.of(AttemptEnded)
    assert (ended.upstream, ended.status) == ("up", 401)
    assert ask(gateway, chat("hi")).status == 200
    gateway.upstream.key = "sk-a-key-we-have-not"
    assert ask(gateway, chat("hi")).status == 502
    assert len(gateway.of(AttemptEnded)) == 1


def test_each_of_those_that_were_refused_with_the_old_key_is_asked_again_with_the_new_one(gateway: Gateway) -> None:
    gateway.upstream.key = "sk-the-next-key"
    with ThreadPoolExecutor() as clients:
        asked = [clients.submit(lambda: ask(gateway, chat("hi [[stall=0]]"))) for _ in range(3)]
        eventually(lambda: len(gateway.upstream.served) == 3)
        gateway.keys["UP_KEY"] = "sk-the-next-key"
        gateway.let_go_on(gateway.upstream)
        assert [one.result().status for one in asked] == [200, 200, 200]
    assert [ended.status for ended in gateway.of(AttemptEnded)] == [401, 401, 401]


def test_nothing_stays_counted_as_being_at_an_upstream(gateway: Gateway) -> None:
    first = pair(gateway, "status=500", first=UpstreamRules(max_concurrent=50))
    for how in ("chunks=1", "status=400", "cut=1", "break=1", "junk=1", "end=early break=1"):
        ask(gateway, chat(f"hi [[{how}]]", stream="break" in how))
    gateway.run(first.stop())
    ask(gateway, chat("hi"))
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[stall=1]]", stream=True)))
        read_until(client, b"w1 ")
    eventually(lambda: not gateway.api.connections)
    assert [endpoint.in_flight for endpoint in gateway.flow.ways.fleet.endpoints.values()] == [0, 0]


def test_checks_eject_what_is_not_well_and_bring_it_back(gateway: Gateway) -> None:
    first = pair(gateway, first=UpstreamRules(health=HealthRules(check_path="/healthy", check_every_ms=1000)))
    [endpoint] = [item for item in gateway.flow.ways.fleet.endpoints.values() if item.upstream == "first"]
    begin = gateway.api.now()

    def state_after(seconds: int) -> str:
        gateway.do(lambda: gateway.flow.sweep(begin + seconds * 1_000_000))
        eventually(lambda: not gateway.flow._checks._running)
        return endpoint.health.state

    assert [state_after(1), state_after(2)] == ["closed", "closed"]
    first.healthy = False
    assert [state_after(3), state_after(4)] == ["closed", "open"]
    assert ask(gateway, chat("hi")).status == 200
    assert first.served == {}
    first.healthy = True
    assert [state_after(6), state_after(10)] == ["open", "closed"]
    assert ask(gateway, chat("hi")).status == 200
    assert (len(first.served), first.connections) == (1, 1)


def test_a_check_for_which_a_kept_connection_had_gone_stale_is_made_on_a_fresh_one(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        gateway.serve(
            deployment("chat", target(url, "first"), target(gateway.upstream.base_url, "second")),
            first=UpstreamRules(health=HealthRules(check_path="/models", check_every_ms=1000)),
        )
        [endpoint] = [item for item in gateway.flow.ways.fleet.endpoints.values() if item.upstream == "first"]
        begin = gateway.api.now()
        gateway.do(partial(gateway.flow.sweep, begin))
        connection, _ = listener.accept()
        for second in range(1, 4):
            with connection:
                read_until(connection, b"\r\n\r\n")
                connection.sendall(whole(b"{}"))
                eventually(lambda: not gateway.flow._checks._running)
                gateway.do(partial(gateway.flow.sweep, begin + second * 1_000_000))
                read_until(connection, b"\r\n\r\n")
            listener.settimeout(WAIT_S_MAX)
            connection, _ = listener.accept()
        with connection:
            read_until(connection, b"\r\n\r\n")
            connection.sendall(whole(b"{}"))
            eventually(lambda: not gateway.flow._checks._running)
        assert endpoint.health.state == "closed"


def test_a_check_without_an_answer_has_failed_when_the_next_is_due(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # Takes connections, and that is all.
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        gateway.serve(
            deployment("chat", target(url, "first"), target(gateway.upstream.base_url, "second")),
            first=UpstreamRules(health=HealthRules(check_path="/models", check_every_ms=1000)),
        )
        begin = gateway.api.now()
        for second in range(3):
            gateway.do(partial(gateway.flow.sweep, begin + second * 1_000_000))
        [endpoint] = [item for item in gateway.flow.ways.fleet.endpoints.values() if item.upstream == "first"]
        assert (endpoint.health.state, endpoint.started) == ("open", 0)


def test_metrics_tell_of_attempts(gateway: Gateway) -> None:
    pair(gateway, "status=500")
    ask(gateway, chat("hi"))
    text = ask(gateway, path="/metrics").body.decode()
    for line in (
        'entrepot_upstream_attempts_total{entrepot_upstream="first"} 1',
        'entrepot_upstream_failures_total{entrepot_upstream="first"} 1',
        'entrepot_upstream_failures_total{entrepot_upstream="second"} 0',
        "entrepot_retries_total 1",
        "entrepot_retries_refused_total 0",
        "entrepot_hedges_total 0",
        "entrepot_answers_draining 0",
    ):
        assert f"\n{line}\n" in text, text
