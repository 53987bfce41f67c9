"""The gateway as a process beside its log process and an upstream: started, told to stop, killed, left alone."""

import json
import signal
import sys

import pytest

from entrepot.core.log_records import Abandoned, Admitted, InstanceBegan, InstanceLost, Progressed, UsageRecorded
from tests.support.gateway import deployment, eventually, target
from tests.support.gateway_processes import Installation, installed, stream
from tests.support.otlp_collector import running_collector
from tests.support.requests import ask, chat, connect, read_to_end, read_until
from tests.support.usage_rows import row


def test_usage_is_on_disk_when_the_answer_ends(installation: Installation) -> None:
    installation.start_gateway()
    reply = ask(installation, chat("two words [[chunks=4]]"))
    [began, admitted, recorded] = installation.records()
    assert isinstance(began, InstanceBegan)
    assert isinstance(admitted, Admitted)
    assert isinstance(recorded, UsageRecorded)
    assert recorded.event.id == admitted.id == reply.headers["x-request-id"]
    assert recorded.event.meters == {"input_tokens": 2, "output_tokens": 4}
    ids = [ask(installation, chat("hi", stream=True)).headers["x-request-id"] for _ in range(20)]
    assert [record.event.id for record in installation.records() if isinstance(record, UsageRecorded)][1:] == ids


def test_several_gateways_share_a_port_and_have_ids_of_their_own(installation: Installation) -> None:
    installation.start_gateway()
    installation.start_gateway()
    ids = [ask(installation, path="/healthz").headers["x-request-id"] for _ in range(40)]
    assert len({each[12:20] for each in ids}) == 2
    assert len(set(ids)) == 40


def test_a_new_snapshot_is_served_and_a_broken_one_is_not(installation: Installation) -> None:
    gateway = installation.start_gateway()
    installation.publish(deployment("new", target(installation.base_url)))
    eventually(lambda: ask(installation, chat("hi", model="new")).status == 200)
    assert ask(installation, chat("hi", model="chat")).status == 404

    broken = installation.settings.home / "broken"
    broken.write_bytes(b'{"schema":99}')
    broken.replace(installation.settings.snapshot_file)
    assert gateway.stderr is not None
    complaint = gateway.stderr.readline()
    assert "snapshot_refused" in complaint
    assert "schema 99" in complaint
    assert ask(installation, chat("hi", model="new")).status == 200


def test_an_upstream_without_its_key_is_complained_about_and_left_out(installation: Installation) -> None:
    installation.publish(
        deployment("chat", target(installation.base_url)),
        deployment("far", target("https://far.example/v1", "far", key_env="KEY_THAT_IS_NOT_SET")),
    )
    gateway = installation.start_gateway()
    assert gateway.stderr is not None
    assert "KEY_THAT_IS_NOT_SET" in gateway.stderr.readline()
    assert ask(installation, chat("hi")).status == 200
    assert ask(installation, chat("hi", model="far")).status == 503


def test_told_to_stop_it_lets_answers_end_and_takes_no_more(installation: Installation) -> None:
    gateway = installation.start_gateway()
    with connect(installation) as idle, stream(installation, "hi [[chunks=40 delay=0.05]]", b"w1 ") as busy:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n")
        read_until(idle, b"alive")
        gateway.send_signal(signal.SIGTERM)
        assert read_to_end(idle) == b""
        with pytest.raises(ConnectionRefusedError):
            connect(installation)
        assert read_to_end(busy).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert gateway.wait(60) == 0
    [recorded] = [record for record in installation.records() if isinstance(record, UsageRecorded)]
    assert recorded.event.meters["output_tokens"] == 40


@row("gateway stopping")
def test_gateway_stopping(installation: Installation) -> None:
    gateway = installation.start_gateway(ENTREPOT_DRAIN_SECONDS="1")
    with stream(installation, "hi [[chunks=9 stall=2]]", b"w2 ") as busy:
        gateway.send_signal(signal.SIGTERM)
        assert not read_to_end(busy).endswith(b"0\r\n\r\n")
    assert gateway.wait(60) == 0
    [abandoned] = [record for record in installation.records() if isinstance(record, Abandoned)]
    assert (abandoned.outcome, abandoned.answered, abandoned.output_tokens) == ("gateway_lost", True, 2)


@row("gateway lost")
def test_gateway_lost(installation: Installation) -> None:
    gateway = installation.start_gateway()
    with stream(installation, "hi [[chunks=9 stall=3]]", b"w3 "):
        eventually(lambda: 3 in [one.output_tokens for one in installation.records() if isinstance(one, Progressed)])
        gateway.kill()
        eventually(lambda: isinstance(installation.records()[-1], InstanceLost))
    # What was durable, but not yet acknowledged to the gateway, is there twice, which changes nothing.
    [began, admitted, *progress, lost] = dict.fromkeys(installation.records())
    progressed = progress[-1]  # A second may have ended amid the three words, and then there is one before it.
    assert isinstance(began, InstanceBegan)
    assert isinstance(admitted, Admitted)
    assert isinstance(progressed, Progressed)
    assert isinstance(lost, InstanceLost)
    assert (lost.instance, progressed.id, progressed.output_tokens) == (admitted.instance, admitted.id, 3)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "70000"], "must be a number up to 65535"),
        (["--port", "x"], "must be a number up to 65535"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1"),
    ],
)
def test_what_it_cannot_do_it_says_in_one_line(
    installation: Installation, arguments: list[str], complaint: str
) -> None:
    process = installation.start([sys.executable, "-m", "entrepot.compose.gateway", *arguments])
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert complaint in stderr.splitlines()[-1]


def test_without_its_log_process_it_ends() -> None:
    with installed() as installation:
        installation.begin()
        gateway = installation.start_gateway()
        with stream(installation, "hi [[stall=1]]", b"w1 ") as busy:
            installation.log.kill()
            assert not read_to_end(busy).endswith(b"0\r\n\r\n")
        assert gateway.wait(60) == 1


def test_any_process_tells_the_counts_of_all_and_no_count_ever_falls(installation: Installation) -> None:
    def served() -> int:
        lines = ask(installation, path="/metrics", headers={}).body.decode().splitlines()
        [found] = [line for line in lines if line.startswith('entrepot_requests_ended_total{outcome="stop"}')]
        return int(found.rpartition(" ")[2])

    first = installation.start_gateway()
    ask(installation, chat("hi"))
    before = served()
    second = installation.start_gateway()
    seen = [before]
    for _ in range(8):  # Whichever of the two each of these reaches.
        ask(installation, chat("hi"))
        seen.append(served())
    assert seen == sorted(seen)
    eventually(lambda: served() == before + 8)  # Once a second each says what it has counted.
    first.kill()
    first.wait()
    assert served() == before + 8
    installation.start_gateway()
    installation.end([second])
    assert served() == before + 8


def test_the_log_process_is_told_of_too(installation: Installation) -> None:
    installation.start_gateway()
    for _ in range(3):
        ask(installation, chat("hi"))

    def told() -> dict[str, int]:
        lines = ask(installation, path="/metrics", headers={}).body.decode().splitlines()
        return {name: int(value) for name, _, value in (line.partition(" ") for line in lines) if name in names}

    names = {"entrepot_log_group_records_sum", "entrepot_log_bytes_total", "entrepot_log_failures_total"}
    names |= {"entrepot_log_group_records_count", "entrepot_log_flush_seconds_count"}
    eventually(
        lambda: told().get("entrepot_log_group_records_sum") == len(installation.all_records())
    )  # Once a second.
    found = told()
    assert found["entrepot_log_bytes_total"] > 6 * 100
    assert 3 <= found["entrepot_log_flush_seconds_count"] == found["entrepot_log_group_records_count"]
    assert found["entrepot_log_failures_total"] == 0


def test_the_access_log_is_written_through_rotation_and_to_the_end(installation: Installation) -> None:
    path = installation.settings.home / "access.log"
    gateway = installation.start_gateway(ENTREPOT_ACCESS_LOG=str(path))
    first = ask(installation, chat("hi")).headers["x-request-id"]
    eventually(lambda: path.exists() and first in path.read_text())
    path.rename(path.with_suffix(".1"))
    gateway.send_signal(signal.SIGHUP)
    second = ask(installation, chat("hi")).headers["x-request-id"]
    installation.end([gateway])
    assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == [second]
    assert first in path.with_suffix(".1").read_text()


def test_a_process_that_ends_has_told_its_traces(installation: Installation) -> None:
    with running_collector() as collector:
        gateway = installation.start_gateway(ENTREPOT_OTLP_ENDPOINT=collector.url, ENTREPOT_TRACE_SHARE="1")
        traced = ask(installation, chat("hi")).headers["x-request-id"]
        installation.end([gateway])
        [request] = collector.requests
        about = {item.key: item.value.string_value for item in request.resource_spans[0].resource.attributes}
        assert about["service.name"] == "entrepot-gateway"
        assert {span.trace_id.hex() for span in collector.spans()} == {traced}
