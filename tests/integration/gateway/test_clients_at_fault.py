"""Clients that are slow, loud, gone or wrong: what they get, and that they cost nobody else anything."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from entrepot.core.log_records import Abandoned
from entrepot.edge.client_connection import ClientLimits
from entrepot.edge.http_requests import RequestLimits
from tests.support.gateway import KEY, Gateway, eventually, running_gateway
from tests.support.requests import ask, chat, connect_narrowly, read_to_end, read_until, request_bytes

LIMITS = ClientLimits(request=RequestLimits(head_bytes=2000, body_bytes=100_000), ahead_bytes=5000)
GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
ALIVE = b'{"alive":true}'


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with running_gateway(LIMITS) as running:
        yield running


def connections(gateway: Gateway) -> int:
    return len(gateway.api.connections)


# ---- slow


def test_a_head_that_drips_is_cut_off(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(GET[:10])
        eventually(lambda: [one for one in gateway.api.connections if not one.is_idle])
        gateway.later(LIMITS.head_s - 1)
        client.sendall(GET[10:20])  # More of it does not buy more time.
        eventually(lambda: connections(gateway) == 1)
        gateway.later(LIMITS.head_s + 1)
        read = read_to_end(client)
    assert read.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"Connection: close" in read
    eventually(lambda: connections(gateway) == 0)


def test_many_heads_that_drip_hold_nobody_up(gateway: Gateway) -> None:
    with ExitStack() as open_now:
        dripping = [open_now.enter_context(gateway.connect()) for _ in range(300)]
        for client in dripping:
            client.sendall(GET[:10])
        eventually(lambda: sum(not one.is_idle for one in list(gateway.api.connections)) == len(dripping))
        gateway.later(LIMITS.head_s - 1)
        for number in range(10, 20):
            for client in dripping:
                client.sendall(GET[number : number + 1])
            assert ask(gateway, chat("hi")).status == 200
        assert connections(gateway) >= len(dripping)
        gateway.later(LIMITS.head_s + 1)
        for client in dripping:
            assert read_to_end(client).startswith(b"HTTP/1.1 408 ")
    eventually(lambda: connections(gateway) == 0)


def test_a_client_that_says_nothing_is_cut_off_without_a_word(gateway: Gateway) -> None:
    with gateway.connect() as client:
        eventually(lambda: connections(gateway) == 1)
        gateway.later(LIMITS.head_s + 1)
        assert read_to_end(client) == b""


def test_a_body_that_stops_coming_is_cut_off(gateway: Gateway) -> None:
    sent = request_bytes(chat("hi"))
    with gateway.connect() as client:
        client.sendall(sent[:-5])
        eventually(lambda: [one for one in gateway.api.connections if not one.is_idle])
        gateway.later(LIMITS.body_s + 1)
        assert read_to_end(client).startswith(b"HTTP/1.1 408 ")
    assert gateway.sink.records == []


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(gateway: Gateway) -> None:
    with gateway.connect() as idle, gateway.connect() as busy:
        idle.sendall(GET)
        read_until(idle, ALIVE)
        busy.sendall(request_bytes(chat("hi [[stall=1]]", stream=True)))
        read_until(busy, b"w1 ")
        gateway.later(LIMITS.head_s + 1)
        assert connections(gateway) == 2
        gateway.later(LIMITS.idle_s + 1)
        assert read_to_end(idle) == b""
        eventually(lambda: connections(gateway) == 1)
        assert gateway.of(Abandoned) == []


# ---- loud


def test_a_head_that_is_too_long(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 3000)
        assert read_to_end(client).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_is_too_long_is_refused_before_it_comes(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(b"")[:-2].replace(b"Length: 0", b"Length: 100001") + b"\r\n")
        read = read_to_end(client)
    assert read.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in read
    assert b"larger than 100000 bytes" in read


@pytest.mark.parametrize("how", ["length", "chunks"])
def test_a_client_that_goes_on_sending_still_reads_why_it_is_refused(gateway: Gateway, how: str) -> None:
    body = b"x" * 4_000_000
    if how == "length":
        sent = request_bytes(body)
    else:
        framing = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(body)
        sent = request_bytes(b"").replace(b"Content-Length: 0\r\n\r\n", framing) + body + b"\r\n0\r\n\r\n"
    with gateway.connect() as client:
        client.sendall(sent)
        assert read_to_end(client).startswith(b"HTTP/1.1 413 ")
    eventually(lambda: connections(gateway) == 0)


def test_azures_routes_say_it_in_their_own_way(gateway: Gateway) -> None:
    path = "/openai/deployments/chat/chat/completions?api-version=2024-10-21"
    with gateway.connect() as client:
        client.sendall(request_bytes(b"x" * 100_001, path=path))
        assert b'{"error":{"code":"RequestTooLarge","message":' in read_to_end(client)


def test_a_body_of_somebody_unknown_is_not_waited_for(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(b"x" * 50_000).replace(KEY.encode(), b"wrong")[:500])
        answer = read_to_end(client)
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"\r\nConnection: close\r\n" in answer  # Else it would be right to send the rest of it.
    with gateway.connect() as client:
        client.sendall(request_bytes(b"x" * 50_000, path="/v1/nothing")[:500])
        assert read_to_end(client).startswith(b"HTTP/1.1 404 ")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/realtime", "/v1/models", "/v1/models/chat"])
def test_a_body_that_nobody_looks_at_is_not_kept_for_anybody(gateway: Gateway, path: str) -> None:
    asked = request_bytes(b"x" * 50_000, path=path).replace(b"POST", b"GET", 1).replace(KEY.encode(), b"wrong")
    with gateway.connect() as client:
        client.sendall(asked[:500])
        status = b"401" if "models" in path else b"400"
        assert read_to_end(client).startswith(b"HTTP/1.1 " + status)


def test_a_client_may_ask_whether_to_go_on(gateway: Gateway) -> None:
    body = chat("hi")
    sent = request_bytes(body, "Expect: 100-continue")
    with gateway.connect() as client:
        client.sendall(sent[: -len(body)])
        assert read_until(client, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert read_until(client, b"w1 w2 w3").startswith(b"HTTP/1.1 200 OK\r\n")
    with gateway.connect() as client:
        client.sendall(sent[: -len(body)].replace(KEY.encode(), b"wrong"))
        assert read_to_end(client).startswith(b"HTTP/1.1 401 ")


# ---- one after the other


def test_requests_sent_ahead_are_answered_in_order_one_at_a_time(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=1]]")) + GET + request_bytes(chat("hi [[chunks=2]]")))
        read = read_until(client, b'"w1 w2"')
    assert read.index(b'"w1"') < read.index(ALIVE) < read.index(b'"w1 w2"')
    assert gateway.upstream.connections == 1


def test_many_small_requests_at_once(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(GET * 500)
        read = b""
        while read.count(ALIVE) < 500:
            more = client.recv(1 << 20)
            assert more, "it hung up"
            read += more


def test_a_client_that_reads_no_answers_gets_no_more_of_them(gateway: Gateway) -> None:
    with connect_narrowly(gateway) as client:
        [connection] = gateway.api.connections
        sent = 0
        while not connection._held:  # type: ignore[attr-defined]
            sent += client.send(GET)
            assert sent < 500_000
        assert connection._transport.get_write_buffer_size() < 200_000  # type: ignore[attr-defined]
        client.sendall(GET[sent % len(GET) :] if sent % len(GET) else b"")
        read = b""
        while read.count(ALIVE) < -(-sent // len(GET)):
            more = client.recv(1 << 20)
            assert more, "it hung up"
            read += more
        client.sendall(GET)
        assert read_until(client, ALIVE).startswith(b"HTTP/1.1 200 OK")


def test_a_client_that_is_ahead_and_reads_nothing_is_let_go_without_a_word(gateway: Gateway) -> None:
    with connect_narrowly(gateway) as client:
        client.sendall(request_bytes(chat("hi [[chunks=100000 pad=1000]]", stream=True)) + GET[:10])
        eventually(lambda: [one for one in gateway.api.connections if one._paused])  # type: ignore[attr-defined]
        let_time_go_by(gateway)
        assert gateway.abandoned().outcome == "client_left"
        assert b"HTTP/1.1 408" not in read_to_end(client)


def test_too_much_ahead_of_its_turn_waits_in_the_network(gateway: Gateway) -> None:
    ahead = request_bytes(chat("x" * 3000))
    with gateway.connect() as client:
        gateway.sink.hold = True
        client.sendall(request_bytes(chat("hi")) + ahead * 4)
        gateway.usage()
        assert send_all_that_goes(client, ahead) < 50_000_000
        gateway.do(gateway.sink.release)
        read = b""
        while read.count(b"HTTP/1.1 200 OK") < 5:
            read += client.recv(1 << 20)


def send_all_that_goes(client: socket.socket, data: bytes) -> int:
    """How many bytes went before the other side took no more; the last of them may end in the middle of data."""
    client.setblocking(False)
    sent = 0
    try:
        while sent < 50_000_000:
            sent += client.send(data)
    except BlockingIOError:
        pass
    client.setblocking(True)
    return sent


def test_an_old_client_gets_its_answers_without_chunks(gateway: Gateway) -> None:
    for body, end in ((chat("hi"), b"}"), (chat("hi", stream=True), b"data: [DONE]\n\n")):
        with gateway.connect() as client:
            client.sendall(request_bytes(body).replace(b"HTTP/1.1", b"HTTP/1.0"))
            read = read_to_end(client)
        assert b"Transfer-Encoding" not in read
        assert b"Connection: close" in read
        assert read.endswith(end)


def test_a_client_that_wants_to_close_is_told_that_it_will(gateway: Gateway) -> None:
    for body in (chat("hi"), chat("hi", stream=True)):
        with gateway.connect() as client:
            client.sendall(request_bytes(body, "Connection: close"))
            assert b"Connection: close" in read_to_end(client)


# ---- gone


def test_a_client_that_closes_its_sending_side_counts_as_gone(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[stall=1]]", stream=True)))
        read_until(client, b"w1 ")
        client.shutdown(socket.SHUT_WR)
        assert gateway.abandoned().outcome == "client_left"
        [found] = gateway.upstream.served.values()
        eventually(lambda: found.state == "cancelled")


def test_a_client_that_closes_its_sending_side_still_gets_what_is_answered_at_once(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(GET * 3 + request_bytes(b"{"))
        client.shutdown(socket.SHUT_WR)
        read = read_to_end(client)
    assert (read.count(ALIVE), read.count(b"HTTP/1.1 400 ")) == (3, 1)


def test_a_client_that_leaves_before_its_request_is_whole(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi"))[:-3])
        eventually(lambda: connections(gateway) == 1)
    eventually(lambda: connections(gateway) == 0)
    assert gateway.sink.records == []


def test_a_client_that_resets(gateway: Gateway) -> None:
    client = gateway.connect()
    client.sendall(request_bytes(chat("hi [[chunks=100000 pad=1000]]", stream=True)))
    read_until(client, b"w1x")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    assert gateway.abandoned().outcome == "client_left"


def test_a_slow_reader_slows_its_upstream_and_is_let_go_when_it_takes_nothing(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=100000 pad=1000]]", stream=True)))
        read_until(client, b"w1x")
        [found] = gateway.upstream.served.values()
        before = -1
        while found.completion_tokens != before:  # Until nothing moves any more.
            before = found.completion_tokens
            gateway.later(0)
            time.sleep(0.1)
        assert found.completion_tokens < 50_000

        later = gateway.loop.time() + gateway.upstream_limits.silence_s + 1
        gateway.do(lambda: gateway.pool.sweep(later))  # Its upstream is not to blame.
        gateway.do(lambda: gateway.pool.sweep(later + gateway.upstream_limits.silence_s + 1))
        assert gateway.of(Abandoned) == []
        taken = 0
        while taken < 10_000_000:  # Taking some of it buys time.
            taken += len(client.recv(1 << 20))
        eventually(lambda: found.completion_tokens > before)
        let_time_go_by(gateway)
        assert gateway.abandoned().outcome == "client_left"


def let_time_go_by(gateway: Gateway) -> None:
    """Until a client that reads nothing has been let go; at first its system may still take some of its answer."""
    periods = count()

    def look() -> list[Abandoned]:
        later = gateway.loop.time() + next(periods) * 2 * LIMITS.stalled_s
        gateway.do(lambda: gateway.api.sweep(later))
        return gateway.of(Abandoned)

    eventually(look)


# ---- wrong


def test_bytes_that_are_no_request(gateway: Gateway) -> None:
    with gateway.connect() as client:
        client.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        read = read_to_end(client)
    assert read.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"x-request-id: " in read
    assert b'"code":"http_400"' in read


def test_nothing_behind_a_request_that_could_be_read_in_two_ways_is_answered(gateway: Gateway) -> None:
    smuggled = b"POST /v1/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with gateway.connect() as client:
        client.sendall(smuggled + GET)
        read = read_to_end(client)
    assert read.count(b"HTTP/1.1 ") == 1
    assert read.startswith(b"HTTP/1.1 400 ")
