"""The turns of a run: phase by phase, in each phase round by round, every target in its turn."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.gateway.compared import CONTENDERS, DIRECT, OURS, Contender, start_all
from benchmarks.gateway.load import Load, MockUpstream
from benchmarks.gateway.measuring import Figure, measure, requests_per_s
from benchmarks.gateway.phases import Phase
from benchmarks.gateway.processes import Child, Children, awake
from benchmarks.gateway.targets import Plain, Target

SILENT_MAX = 2  # Turns without any answer, after which a gateway of others has no further ones.


@dataclass(slots=True)
class Rounds:
    """A run's targets and what was found of them. gateway_rounds: how often other LLM gateways have their turn."""

    children: Children
    mock: MockUpstream
    rounds: int
    gateway_rounds: int
    notes: list[str]
    figures: list[Figure] = field(default_factory=list)
    _running: dict[str, Target] = field(default_factory=dict)
    _silent: Counter[str] = field(default_factory=Counter)

    def start(self, names: Sequence[str]) -> None:
        """Starts the targets. Others' gateways stand still until it is their turn: many are busy when nobody asks."""
        self._running = start_all(self.children, self.mock, names, self.notes)
        for name in self._running:
            with awake(self._sleeper(name)):
                pass

    def measure(self, phase: Phase) -> None:
        """All rounds of a phase; targets that only it is for run no longer than it does."""
        before = len(self.children.started)
        running = self._running
        if phase.only:
            beside = {name: target for name, target in running.items() if name in phase.beside}
            running = beside | start_all(self.children, self.mock, phase.only, self.notes)
        for number in range(min(self.rounds, phase.rounds)):
            for name, target in list(running.items()):
                if self._takes_part(CONTENDERS[name], phase, number):
                    self._turn(phase, name, target, number)
        if phase.only:
            self.children.stop_all(down_to=before)

    def _takes_part(self, contender: Contender, phase: Phase, number: int) -> bool:
        if phase.kinds and contender.kind not in phase.kinds:
            return False
        if contender.phases and phase.name not in contender.phases:
            return False
        return contender.kind != "gateway" or number < self.gateway_rounds

    def _turn(self, phase: Phase, name: str, target: Target, number: int) -> None:
        """Adds a figure. One that fails altogether is noted and left out from then on, unless it is ours."""
        load = self._load(phase, CONTENDERS[name])
        try:
            with awake(self._sleeper(name)):
                figure = measure(self.children.bench, phase, name, target, self.mock, number, load)
        except (RuntimeError, OSError) as error:
            if CONTENDERS[name].kind in {"ours", "yardstick"}:
                raise RuntimeError(f"{name} cannot be measured any more: {error}") from error
            self._drop(name, phase, str(error))
            return
        self.figures.append(figure)
        print(f"{phase.name} {number + 1}: {name}: {'; '.join(figure.faults) or 'ok'}", file=sys.stderr, flush=True)
        if CONTENDERS[name].kind == "gateway" and not figure.result.answered:
            self._silent[name] += 1
            if self._silent[name] == SILENT_MAX:
                self._drop(name, phase, "it answered nothing again")

    def _drop(self, name: str, phase: Phase, reason: str) -> None:
        self.notes.append(f"{name} is left out from the phase {phase.name} on: {reason}")
        del self._running[name]

    def _load(self, phase: Phase, contender: Contender) -> Load:
        # The direct way is loaded as ours is at half load: it is what is taken off to see what a target adds.
        known = requests_per_s(self.figures, OURS if contender.name == DIRECT else contender.name)
        return phase.load_for(contender.strength, known or 2 * contender.strength.rate)

    def _sleeper(self, name: str) -> Child | None:
        target = self._running.get(name)
        return target.child if isinstance(target, Plain) and CONTENDERS[name].kind == "gateway" else None
