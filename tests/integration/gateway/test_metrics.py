"""What /metrics says of requests that were served, refused, left and broken."""

import pytest

from tests.support.gateway import Gateway, eventually, running_gateway
from tests.support.requests import AZURE, ask, chat, read_until, request_bytes

SERVED = (
    'gen_ai_operation_name="chat",gen_ai_request_model="model-of-chat",gen_ai_provider_name="maker",'
    'entrepot_upstream="up"'
)


def scraped(gateway: Gateway) -> list[str]:
    reply = ask(gateway, path="/metrics", headers={})
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return reply.body.decode().splitlines()


def value(lines: list[str], sample: str) -> float:
    """The value of one sample."""
    [found] = [line.rpartition(" ")[2] for line in lines if line.rpartition(" ")[0] == sample]
    return float(found)


def test_requests_and_what_they_used() -> None:
    with running_gateway() as gateway:
        ask(gateway, chat("two words [[chunks=4]]"))
        ask(gateway, chat("hi [[usage=bad]]"))
        ask(gateway, chat("hi", model="none"))
        ask(gateway, chat("hi"), path=AZURE.format("none"))
        lines = scraped(gateway)
    for line in (
        'entrepot_requests_total{route="/v1/chat/completions",status="200"} 2',
        'entrepot_requests_total{route="/v1/chat/completions",status="404"} 1',
        'entrepot_requests_total{route="/openai/deployments/{deployment}/chat/completions",status="404"} 1',
        'entrepot_errors_total{code="deployment_not_found"} 2',
        'entrepot_requests_ended_total{outcome="stop"} 2',
        'entrepot_usage_units_total{meter="input_tokens"} 2',
        'entrepot_usage_units_total{meter="output_tokens"} 4',
        f'gen_ai_client_token_usage_sum{{{SERVED},gen_ai_token_type="output"}} 4',
        f'gen_ai_client_token_usage_bucket{{{SERVED},gen_ai_token_type="input",le="4"}} 1',
        f'gen_ai_server_request_duration_seconds_count{{{SERVED},error_type=""}} 2',
        "entrepot_usage_flush_wait_seconds_count 2",
        'entrepot_upstream_attempts_total{entrepot_upstream="up"} 2',
        'entrepot_upstream_requests_open{entrepot_upstream="up"} 0',
        'entrepot_upstream_available{entrepot_upstream="up"} 1',
        "entrepot_streams_open 0",
        "entrepot_usage_mismatches_total 1",
        "entrepot_usage_owed 0",
        "entrepot_usage_log_available 1",
        "entrepot_gateway_workers 1",
        "entrepot_snapshot_version 1",
    ):
        assert line in lines
    assert not any("acme" in line or "search" in line for line in lines)
    typed = [line.split(" ")[2] for line in lines if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))


def test_a_stream_has_a_first_token_and_a_pace() -> None:
    with running_gateway() as gateway:
        ask(gateway, chat("hi [[chunks=5 delay=0.02]]", stream=True))
        lines = scraped(gateway)
    first_s = value(lines, f"gen_ai_server_time_to_first_token_seconds_sum{{{SERVED}}}")
    pace_s = value(lines, f"gen_ai_server_time_per_output_token_seconds_sum{{{SERVED}}}")
    whole_s = value(lines, f'gen_ai_server_request_duration_seconds_sum{{{SERVED},error_type=""}}')
    assert 0.02 <= first_s < whole_s
    assert 0 < pace_s < whole_s
    assert 0.1 <= first_s + 4 * pace_s <= whole_s  # However late the first one was looked at.
    assert value(lines, f"gen_ai_server_time_to_first_token_seconds_count{{{SERVED}}}") == 1


@pytest.mark.parametrize(
    ("prompt", "stream", "outcome", "error"),
    [
        ("hi [[status=429]]", False, "upstream_failed", "429"),
        ("hi [[status=401]]", False, "upstream_failed", "upstream_failed"),
        ("hi [[break=0]]", False, "upstream_failed", "upstream_failed"),
        ("hi [[break=2]]", True, "upstream_failed", "upstream_failed"),
    ],
)
def test_what_failed_is_counted_by_what_it_was(prompt: str, stream: bool, outcome: str, error: str) -> None:
    with running_gateway() as gateway:
        ask(gateway, chat(prompt, stream=stream))
        lines = scraped(gateway)
    assert value(lines, f'entrepot_requests_ended_total{{outcome="{outcome}"}}') == 1
    assert value(lines, f'gen_ai_server_request_duration_seconds_count{{{SERVED},error_type="{error}"}}') == 1
    assert value(lines, f'gen_ai_server_request_duration_seconds_count{{{SERVED},error_type=""}}') == 0


def test_a_client_that_left_is_counted_once() -> None:
    with running_gateway() as gateway:
        with gateway.connect() as client:
            client.sendall(request_bytes(chat("hi [[chunks=50 stall=2]]", stream=True)))
            read_until(client, b"w2")
        gateway.abandoned()
        lines = scraped(gateway)
    assert value(lines, 'entrepot_requests_ended_total{outcome="client_left"}') == 1
    assert value(lines, f'gen_ai_server_request_duration_seconds_count{{{SERVED},error_type="client_left"}}') == 1


def test_streams_and_connections_are_counted_while_they_are_open() -> None:
    with running_gateway() as gateway, gateway.connect() as client:
        client.sendall(request_bytes(chat("hi [[chunks=2 stall=1]]", stream=True)))
        read_until(client, b"w1")
        lines = scraped(gateway)
        assert value(lines, "entrepot_streams_open") == 1
        assert value(lines, "entrepot_connections_open") == 2


def test_counts_that_cannot_be_put_down_are_told_all_the_same() -> None:
    with running_gateway() as gateway:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        gateway.board.publish = gateway.board.gather = full  # type: ignore[assignment,method-assign]
        ask(gateway, chat("hi"))
        lines = scraped(gateway)
        assert value(lines, 'entrepot_requests_ended_total{outcome="stop"}') == 1
        assert value(lines, "entrepot_streams_open") == 0
        assert value(scraped(gateway), "entrepot_metrics_write_failures_total") == 1


def test_a_scraper_that_leaves_is_let_go() -> None:
    with running_gateway() as gateway:
        with gateway.connect() as client:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(lambda: not gateway.api.connections)
        assert scraped(gateway)
