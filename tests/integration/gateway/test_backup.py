"""Backups of an installation that serves: real gateways, a real log process, and both killed for good."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from entrepot.cli.main import main
from entrepot.compose.usage_log import open_log_reader
from entrepot.core.log_records import Admitted, InstanceBegan, InstanceLost, LogRecord, UsageRecorded
from entrepot.ports.event_log import START
from tests.support.gateway_processes import Installation, installed, said, stream
from tests.support.product import eventually
from tests.support.requests import ask, chat
from tests.support.tree import PROGRAMS

CLIENTS = 4
BACKUPS = 4
SHORT_SEGMENTS = ("-m", "entrepot.compose.log_process", "--segment-bytes", "20000")


@pytest.fixture(scope="module")
def home() -> Iterator[Installation]:
    """A data directory whose log begins a segment every fifty requests or so."""
    with installed(SHORT_SEGMENTS) as made:
        yield made


def await_more(answered: list[str], wanted: int) -> None:
    eventually(lambda: len(answered) >= wanted)


def back_up(installation: Installation, directory: Path) -> None:
    done = subprocess.run(
        [PROGRAMS / "entrepot", "backup", directory, "--home", installation.settings.home],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def restored(directory: Path, home: Path) -> list[LogRecord]:
    assert main(["restore", str(directory), "--home", str(home)]) == 0
    return [record for _, record in open_log_reader(home).read(START, 10**6)]


def used(records: list[LogRecord]) -> set[str]:
    return {record.event.id for record in records if isinstance(record, UsageRecorded)}


def bytes_of(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (home / "log").glob("*.seg")}


def test_what_was_answered_before_is_in_it_and_it_is_a_first_part(installation: Installation, tmp_path: Path) -> None:
    installation.start_gateway()
    answered: list[str] = []
    stopping = threading.Event()

    def client(number: int) -> None:
        turn = 0
        while not stopping.is_set():
            turn += 1
            reply = ask(installation, chat(f"hi {number}", stream=turn % 2 == 0))
            assert reply.status == 200
            answered.append(reply.headers["x-request-id"])

    clients = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in clients:
        thread.start()
    promised = []
    try:
        for number in range(BACKUPS):
            wanted = len(answered) + 20
            await_more(answered, wanted)
            before = set(answered)
            back_up(installation, tmp_path / "backup")
            promised.append((before, restored(tmp_path / "backup", tmp_path / f"home-{number}")))
    finally:
        stopping.set()
        for thread in clients:
            thread.join()
    final = [record for _, record in open_log_reader(installation.settings.home).read(START, 10**6)]
    everything = bytes_of(installation.settings.home)
    for number, (before, records) in enumerate(promised):
        assert before <= used(records)
        assert records == final[: len(records)]
        for name, content in bytes_of(tmp_path / f"home-{number}").items():
            assert everything[name].startswith(content)
    assert len(promised[0][1]) < len(promised[-1][1])
    assert len(bytes_of(tmp_path / "home-0")) < len(bytes_of(tmp_path / f"home-{BACKUPS - 1}"))


def test_what_was_open_is_given_up_where_it_is_restored(installation: Installation, tmp_path: Path) -> None:
    installation.start_gateway()
    with stream(installation, "hi [[chunks=9 stall=2]]", b"w2"):
        open_ids = eventually(lambda: [record.id for record in installation.records() if isinstance(record, Admitted)])
        back_up(installation, tmp_path / "backup")
    home = tmp_path / "home"
    records = restored(tmp_path / "backup", home)
    (instance,) = {record.instance for record in records if isinstance(record, Admitted) and record.id in open_ids}
    assert not any(isinstance(record, InstanceLost) and record.instance == instance for record in records)
    log = installation.start([sys.executable, "-m", "entrepot.compose.log_process", "--home", str(home)])
    said(log)
    lost = eventually(
        lambda: [
            record
            for _, record in open_log_reader(home).read(START, 10**6)
            if isinstance(record, InstanceLost) and record.instance == instance
        ]
    )
    assert len(lost) == 1
    installation.end([log])
    assert (home / "log" / "instances").read_text() == "[]"


def test_gateways_that_came_and_went_are_not_declared_lost_twice(installation: Installation, tmp_path: Path) -> None:
    first = installation.start_gateway()
    assert ask(installation, chat("hi")).status == 200
    installation.end([first])
    installation.start_gateway()
    assert ask(installation, chat("hi")).status == 200
    (alive,) = eventually(lambda: alive_in(installation.all_records()))
    back_up(installation, tmp_path / "backup")
    restored(tmp_path / "backup", tmp_path / "home")
    assert (tmp_path / "home" / "log" / "instances").read_text() == f'["{alive}"]'


def alive_in(records: list[LogRecord]) -> list[str] | None:
    """The gateways at work, once there is one."""
    alive: list[str] = []
    for record in records:
        if isinstance(record, InstanceBegan):
            alive.append(record.instance)
        elif isinstance(record, InstanceLost):
            alive.remove(record.instance)
    return alive if len(alive) == 1 else None
