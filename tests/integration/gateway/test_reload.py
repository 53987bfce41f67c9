"""`entrepot serve` told to reload: other gateways, other settings, and not a connection or an answer lost over it."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.log_records import UsageRecorded
from entrepot.core.periods import MINUTE
from tests.support.gateway import deployment, eventually, target
from tests.support.gateway_processes import Installation, stream
from tests.support.requests import ask, chat, connect, read_to_end, read_until

GET = b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"
ALIVE = b'{"alive":true}'
TOKENS = 1_000_000
AGES = 100 * 365 * 24 * 60 * MINUTE  # A window that is not over before these tests are.
END = b"data: [DONE]\n\n\r\n0\r\n\r\n"


def gateways(installation: Installation) -> dict[str, int]:
    return {name: pid for name, pid in installation.children.items() if name.startswith("gateway")}


def reload(installation: Installation, serve: subprocess.Popen[str]) -> str:
    """What is said once other gateways have taken over, or why they have not."""
    before = set(gateways(installation).values())
    serve.send_signal(signal.SIGHUP)
    assert serve.stderr is not None
    said = serve.stderr.readline()
    if said.startswith("reloaded"):
        eventually(lambda: gateways(installation) and not before & set(gateways(installation).values()))
    return said


def served_for_the_last_time(connection: socket.socket) -> None:
    """A connection to a gateway that is replaced: as soon as it knows, it says so in an answer, and closes."""
    said = b""
    while b"Connection: close" not in said:
        connection.sendall(GET)
        said = read_until(connection, ALIVE)
    assert read_to_end(connection) == b""


def test_streams_and_kept_connections_go_on_over_a_reload(installation: Installation) -> None:
    serve = installation.start_serve()
    old = gateways(installation)
    with connect(installation) as kept, stream(installation, "hi [[chunks=30 delay=0.1]]", b"w1 ") as open_stream:
        kept.sendall(GET)
        read_until(kept, ALIVE)
        assert reload(installation, serve).startswith("reloaded")
        assert "replaced gateway 1" in installation.children

        served_for_the_last_time(kept)
        assert ask(installation, chat("hi")).status == 200
        assert read_until(open_stream, END).endswith(END)
        served_for_the_last_time(open_stream)  # Its answer had not said so yet, so that there is one more.
    eventually(lambda: "replaced gateway 1" not in installation.children)
    assert not old.items() & installation.children.items()
    meters = [record.event.meters for record in installation.records() if isinstance(record, UsageRecorded)]
    assert {"input_tokens": 1, "output_tokens": 30} in meters


def held_prompt(installation: Installation, prompt: str) -> int:
    """What a request with this prompt takes of its limit of tokens before it is answered."""
    reply = ask(installation, chat(f"{prompt} [[chunks=1]]", model="exact", max_tokens=1, stream=True))
    return TOKENS - int(reply.headers["x-ratelimit-remaining-tokens"])


def test_a_tokenizer_that_is_needed_later_comes_with_other_gateways_and_no_stream_stands_still(
    installation: Installation,
) -> None:
    """Loading one holds everything up for half a second, so a gateway that serves does not; its bytes are the bound."""
    installation.start_serve()
    old = gateways(installation)
    limit = ServedLimit(Limit("exact", "tokens", "window", TOKENS, AGES), "tokens_per_minute", "exact")
    exact = deployment("exact", target(installation.base_url), limits=(limit,), tokenizer="o200k_base")
    with stream(installation, "hi [[chunks=40 delay=0.1]]", b"w1 ") as open_stream:
        installation.publish(deployment("chat", target(installation.base_url)), exact)
        eventually(lambda: gateways(installation) and not old.items() & gateways(installation).items())
        text = "antidisestablishmentarianism " * 100
        eventually(lambda: ask(installation, path="/v1/models").body.count(b'"exact"'))
        eventually(lambda: held_prompt(installation, text) < len(text) // 3)
        assert read_until(open_stream, END).endswith(END)
    eventually(lambda: "replaced gateway 1" not in installation.children)


def test_no_connection_is_refused_or_dropped_while_gateways_are_replaced(installation: Installation) -> None:
    serve = installation.start_serve(ENTREPOT_GATEWAY_WORKERS="2")
    over = threading.Event()
    clients = [Hasty(installation.port, over) for _ in range(2)]
    for client in clients:
        client.start()
    reloads = answered = 0
    while reloads < 3 or answered <= 1000:
        assert reload(installation, serve).startswith("reloaded")
        reloads += 1
        assert [client.failed for client in clients] == [[], []]
        answered = sum(client.answered for client in clients)
    over.set()
    for client in clients:
        client.join(30)
    assert [client.failed for client in clients] == [[], []]
    print(f"{answered} short connections over {reloads} reloads")


class Hasty(threading.Thread):
    """Asks again and again, each time on a connection of its own."""

    def __init__(self, port: int, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._over = over
        self.answered = 0
        self.failed: list[str] = []

    def run(self) -> None:
        while not self._over.is_set() and len(self.failed) < 10:
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=60) as connection:
                    connection.sendall(GET)
                    read_until(connection, ALIVE)
                self.answered += 1
            except (OSError, AssertionError) as error:
                self.failed.append(repr(error))


def test_settings_are_read_again(installation: Installation, tmp_path: Path) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text("gateway_workers = 1\n")
    serve = installation.start_serve(ENTREPOT_CONFIG=str(config))
    assert list(gateways(installation)) == ["gateway 1"]
    for workers in (3, 2):
        config.write_text(f"gateway_workers = {workers}\n")
        assert reload(installation, serve).startswith("reloaded")
        assert len(gateways(installation)) == workers
        eventually(lambda: not any(name.startswith("replaced") for name in installation.children))
        instances = {ask(installation, path="/healthz").headers["x-request-id"][12:20] for _ in range(40)}
        assert len(instances) == workers


def test_what_cannot_serve_leaves_the_old_ones_serving(installation: Installation, tmp_path: Path) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text("")
    serve = installation.start_serve(ENTREPOT_CONFIG=str(config))
    before = gateways(installation)
    for wrong, said in [
        ("gateway_workers = [", "the settings cannot be read again, so nothing changes"),
        ('gateway_certificate = "/nowhere.pem"', "gateway 1 | entrepot gateway: gateway_certificate and"),
    ]:
        config.write_text(wrong)
        assert said in reload(installation, serve)
    assert serve.stderr is not None
    while "so the old ones stay" not in serve.stderr.readline():
        pass
    assert gateways(installation) == before
    assert ask(installation, path="/healthz").status == 200


def test_what_takes_a_restart_is_said(installation: Installation, tmp_path: Path) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text("")
    serve = installation.start_serve(ENTREPOT_CONFIG=str(config))
    config.write_text('console_address = "127.0.0.1:1"\n')
    assert reload(installation, serve) == "console_address has changed, which takes effect only after a restart\n"


def test_a_gateway_that_is_killed_loses_no_connection_that_waits_for_it(installation: Installation) -> None:
    installation.start_serve()
    [gateway] = gateways(installation).values()
    os.kill(gateway, signal.SIGSTOP)
    with connect(installation) as waiting:
        waiting.sendall(GET)
        os.kill(gateway, signal.SIGKILL)
        assert ALIVE in read_until(waiting, ALIVE)


def test_stopping_does_not_wait_for_what_a_reload_left_to_finish(installation: Installation) -> None:
    serve = installation.start_serve(ENTREPOT_DRAIN_SECONDS="1")
    with stream(installation, "hi [[chunks=9 stall=2]]", b"w2 ") as stalled, connect(installation) as kept:
        kept.sendall(GET)
        read_until(kept, ALIVE)
        reload(installation, serve)
        serve.send_signal(signal.SIGTERM)
        assert read_to_end(kept) == b""
        assert not read_to_end(stalled).endswith(END)
    assert serve.wait(60) == 0
    with pytest.raises(ConnectionRefusedError):
        connect(installation)


def test_a_replaced_gateway_has_its_time(installation: Installation) -> None:
    serve = installation.start_serve(ENTREPOT_RELOAD_DRAIN_SECONDS="1")
    with stream(installation, "hi [[chunks=9 stall=2]]", b"w2 ") as stalled:
        reload(installation, serve)
        assert not read_to_end(stalled).endswith(END)
    eventually(lambda: "replaced gateway 1" not in installation.children)


def test_on_a_unix_socket(installation: Installation) -> None:
    installation.start_serve(ENTREPOT_GATEWAY_WORKERS="2")
    path = installation.settings.gateway_socket_file
    for _ in range(20):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
            connection.connect(str(path))
            connection.sendall(GET)
            assert ALIVE in read_until(connection, ALIVE)


def test_a_unix_socket_that_somebody_listens_on(installation: Installation, tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(tmp_path / "taken"))
        other.listen()
        with pytest.raises(AssertionError, match=r"taken .* is in use by another program"):
            installation.start_serve(ENTREPOT_GATEWAY_SOCKET=str(tmp_path / "taken"))
    with pytest.raises(AssertionError, match="cannot be listened on: No such file or directory"):
        installation.start_serve(ENTREPOT_GATEWAY_SOCKET=str(tmp_path / "nowhere" / "socket"))
    serve = installation.start_serve(ENTREPOT_GATEWAY_SOCKET=str(tmp_path / "taken"))  # Left behind: nobody listens.
    serve.send_signal(signal.SIGTERM)
    assert serve.wait(60) == 0
    assert not (tmp_path / "taken").exists()
