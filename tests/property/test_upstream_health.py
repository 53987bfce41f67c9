"""An upstream's health and its gate, whatever happens to it in whatever order, on a clock of the test's own."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from entrepot.core.upstream_rules import HealthRules, UpstreamRules
from entrepot.routing.endpoint import Endpoint
from entrepot.routing.fleet import Fleet
from entrepot.routing.health import MS

RULES = HealthRules(failures=3, failure_percent=50, requests=6, window_ms=5_000, eject_ms=100, eject_ms_max=1_000)


class Life(RuleBasedStateMachine):
    """One endpoint among requests that begin, end well, end badly, end untold; checks; pauses; and time."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet: Fleet[object] = Fleet()  # type: ignore[type-var]
        self.endpoint: Endpoint = self.fleet.endpoint(("up", "url"), UpstreamRules(max_concurrent=4, health=RULES))
        self.at = 0
        self.inside = 0
        self.trials = 0  # Let in since trials began, and still in.

    def note(self, before: str) -> None:
        """What has to hold whenever the state has changed."""
        after = self.endpoint.health.state
        if after == before:
            return
        assert (before, after) in {
            ("closed", "open"), ("open", "half_open"), ("half_open", "open"), ("half_open", "closed"),
        }  # fmt: skip
        if after == "open":
            assert RULES.eject_ms * MS <= self.endpoint.health.until - self.at <= RULES.eject_ms_max * MS
        if before == "open":
            assert self.at >= self.endpoint.health.until
        self.trials = 0

    @rule()
    def begin(self) -> None:
        state = self.endpoint.health.state
        entered = self.endpoint.enter()
        if state == "half_open":
            assert entered == (self.trials == 0) or not entered
            self.trials += entered
            assert self.trials <= 1
        else:
            assert entered == (self.inside < 4)
        self.inside += entered

    @precondition(lambda self: self.inside)
    @rule(how=st.sampled_from(["well", "badly", "untold"]))
    def end(self, how: str) -> None:
        before = self.endpoint.health.state
        self.endpoint.leave()
        self.inside -= 1
        if how == "badly":
            self.fleet.failed(self.endpoint, self.at)
        elif how == "well" and self.endpoint.health.troubled:
            self.fleet.succeeded(self.endpoint, self.at)
        if self.endpoint.health.state == before == "half_open" and self.endpoint.in_flight == 0:
            self.trials = 0
        self.note(before)

    @rule(good=st.booleans())
    def check(self, good: bool) -> None:
        before = self.endpoint.health.state
        self.fleet.checked(self.endpoint, good, self.at)
        self.note(before)

    @rule(seconds=st.integers(0, 90))
    def rest(self, seconds: int) -> None:
        self.fleet.rest(self.endpoint, self.at, seconds * 1_000_000)
        assert self.endpoint.health.resting or seconds == 0
        assert self.endpoint.health.back_at <= max(self.at + 60_000 * MS, self.endpoint.health.until)

    @rule(ms=st.integers(0, 2_000))
    def wait(self, ms: int) -> None:
        before = self.endpoint.health.state
        self.at += ms * MS
        self.fleet.tick(self.at)
        self.note(before)

    @rule()
    def wait_long(self) -> None:
        """Nothing is away for ever."""
        before = self.endpoint.health.state
        self.at += 61_000 * MS
        self.fleet.tick(self.at)
        assert self.endpoint.health.is_available
        self.note(before)

    @invariant()
    def what_is_in_is_counted(self) -> None:
        assert self.endpoint.in_flight == self.inside
        assert self.endpoint.health.troubled or self.endpoint.health.state == "closed"


def test_an_upstreams_life() -> None:
    run_state_machine_as_test(Life)
