"""Who has turns in a phase that is for targets of its own."""

from pathlib import Path

import pytest

from benchmarks.gateway import rounds
from benchmarks.gateway.load import MockUpstream
from benchmarks.gateway.phases import phases
from benchmarks.gateway.processes import Bench, Child, Children
from benchmarks.gateway.targets import Plain, Target


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str]]:
    """The turns that are had from here on, as (round, target); nothing is started."""
    had: list[tuple[int, str]] = []

    def start_all(_children: object, _mock: object, names: tuple[str, ...], _notes: object) -> dict[str, Target]:
        return {name: target() for name in names}

    def turn(_self: object, _phase: object, name: str, _target: object, number: int) -> None:
        had.append((number, name))

    monkeypatch.setattr(rounds, "start_all", start_all)
    monkeypatch.setattr(rounds.Rounds, "_turn", turn)
    return had


def test_one_worker_has_its_turns_between_several(turns: list[tuple[int, str]]) -> None:
    begun("nginx", "entrepot", "bare").measure(phases(1)["four-workers"])
    assert turns == [(n, name) for n in range(2) for name in ("nginx", "entrepot", "nginx-4", "entrepot-4")]


def test_what_is_not_in_the_run_is_not_beside(turns: list[tuple[int, str]]) -> None:
    begun("nginx").measure(phases(1)["two-workers"])
    assert turns == [(n, name) for n in range(2) for name in ("nginx", "nginx-2", "entrepot-2")]


def begun(*names: str) -> rounds.Rounds:
    """Two rounds of a run with these targets."""
    children = Children(Bench(0, 0, Path()))
    run = rounds.Rounds(children, MockUpstream(child(), 0), rounds=2, gateway_rounds=2, notes=[])
    run.start(names)
    return run


def target() -> Plain:
    return Plain("part", child(), 0)


def child() -> Child:
    """One that nobody looks at."""
    return Child(None, Path())  # type: ignore[arg-type]
