"""Snapshots that cannot be served from: the gateway says so, in one line, and serves on from the last one."""

import errno
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose.gateway import SnapshotFollower
from entrepot.core.tenancy import IdentityProvider
from tests.support.gateway import Gateway, deployment, running_gateway, snapshot, target
from tests.support.requests import ask, chat


def test_a_snapshot_that_cannot_be_taken_into_use_leaves_the_last_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_gateway(published=False) as gateway:
        follow(gateway, tmp_path, caplog, monkeypatch)


def follow(gateway: Gateway, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "snapshot.json"
    follower = SnapshotFollower(path, gateway.flow, "")
    base_url = gateway.upstream.base_url
    good = snapshot(deployment("chat", target(base_url)), deployment("other", target(base_url)))
    FileSnapshots(path).publish(good)
    gateway.do(follower.look)
    directory = IdentityProvider("https://issuer.example", ("api://us",), '{"keys": 7}')
    FileSnapshots(path).publish(msgspec.structs.replace(good, identity_providers=(directory,), keys={}))
    gateway.do(follower.look)
    gateway.do(follower.look)
    assert ask(gateway, chat("hi", model="other")).status == 200
    assert caplog.text.count("snapshot_refused reason=it cannot be served from") == 1
    read = FileSnapshots.loading

    def unreadable(snapshots: FileSnapshots) -> Generator[None, None, None]:
        yield
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(FileSnapshots, "loading", unreadable)
    FileSnapshots(path).publish(good)
    gateway.do(follower.look)
    assert caplog.text.count("Input/output error") > 0
    monkeypatch.setattr(FileSnapshots, "loading", read)
    FileSnapshots(path).publish(snapshot(deployment("newer", target(base_url))))
    gateway.do(follower.look)
    assert ask(gateway, chat("hi", model="newer")).status == 200
