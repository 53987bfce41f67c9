"""`make mutants`: one small mistake at a time in the modules that money passes; the tests must notice it.

    python -m tests.mutation.run [--sample N] [--seed 1] [--processes 2] [--tests PATH]... [MODULE ...]

All tests below, or those given, are collected once, and each is run once to see which functions it calls. For each
mutant the process forks, the child puts the changed code into the function and runs the tests that call it until one
fails: those first that noticed the last mutants, then the quickest. A mutant that none notices is a survivor. Those
with a reason stand in docs/operations/surviving-mutants.md; the exit status is 1 when one does not, when one stands
there that did not survive, or when fewer than 85 % of the mutants are noticed.
"""

import argparse
import builtins
import gc
import json
import math
import os
import pickle
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from itertools import accumulate
from mmap import mmap
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.mutation.mutants import Mutant, mutants_of, noted, put
from tests.support.tree import ROOT, SOURCE

_CORE = (
    *("budgets", "charges", "costs", "exchange", "invoices", "journal", "money", "periods", "price_windows", "prices"),
    *("subscriptions", "terms"),
)
_FLOWS = ("accrue", "close_month", "credit_invoice", "settle_accounts")
MODULES = (
    *(f"core/{name}.py" for name in _CORE),
    *(
        str(path.relative_to(SOURCE))
        for room in ("rating", "ledger", "invoicing")
        for path in sorted((SOURCE / room).glob("[!_]*.py"))
    ),
    *("provisioning/agreements.py", "provisioning/settled.py", "provisioning/subscriptions.py"),
    *("reconciling/our_counts.py", "settlement/partners.py"),
    *(f"flows/{name}.py" for name in _FLOWS),
)
TESTS = (
    *(f"unit/core/test_{name}.py" for name in ("budgets", "costs", "exchange", "installed", "invoices", "money")),
    *(f"unit/core/test_{name}.py" for name in ("partner_usage", "periods", "price_windows", "prices", "provisioned")),
    *(f"unit/core/test_{name}.py" for name in ("subscriptions", "terms", "world")),
    *(f"unit/{room}" for room in ("rating", "ledger", "invoicing", "settlement", "provisioning", "printing")),
    *("unit/metering/test_aggregate.py", "unit/metering/test_record.py", "unit/reconciling"),
    *("unit/reporting/test_seats.py", "unit/reporting/test_throughput.py"),
    *(
        f"unit/flows/test_{name}.py"
        for name in ("accrue", "close_month", "price_diff", "resolve_usage", "tell_budgets", "weigh_budgets")
    ),
    *("oracle/test_oracle.py", "unit/test_bill.py", "unit/test_closing.py", "unit/test_crediting.py"),
    *("unit/test_backdated_worlds.py", "unit/test_closing_in_pieces.py", "unit/test_dropped_prices.py"),
    *("unit/test_renamed_deployments.py", "unit/test_settling.py", "unit/test_workers.py"),
    *("unit/test_worlds_after_a_close.py", "integration/test_reconcile_partner.py"),
    *("integration/test_scenarios_in_the_books.py", "integration/test_standing_charges.py"),
    *("property/test_commitments.py", "property/test_core.py", "property/test_fold.py", "property/test_price_forms.py"),
    *("property/test_priced_parts.py", "property/test_provisioned.py", "property/test_rating_oracle.py"),
    *("property/test_seats_and_credit.py", "property/test_world_files.py"),
    *("integration/test_billing_scenarios.py", "integration/test_settlement_scenarios.py"),
)
SURVIVORS = ROOT / "docs" / "operations" / "surviving-mutants.md"
KILLED_MIN = 0.85
TESTS_CPU_S = 15  # A mutant has the tests that take so long together.
CPU_S_MORE, CPU_TIMES = 2, 4  # What a test may take, beyond so many times what it took without a mistake.
MEMORY_BYTES_MAX = 4 * 2**30

_Function = tuple[str, str]  # (file, qualified name)


class Seen(NamedTuple):
    """What a run of all tests without mistakes showed. calls: {function: places of the tests that call it}."""

    calls: dict[_Function, set[int]]
    seconds: list[float]
    failed: list[str]


class _Running(NamedTuple):
    """A mutant in a child. noticed: where the child writes the place of the test that noticed it."""

    mutant: Mutant
    noticed: mmap


class Mutating:
    """A pytest plugin that runs mutants in place of the tests."""

    def __init__(self, given: argparse.Namespace) -> None:
        self._given = given
        self._failed = False
        self._items: list[pytest.Item] = []
        self._telling: list[int] = []  # Places of tests that noticed something, the last one first.
        self.survivors: list[Mutant] = []
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        self.broken: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self) -> None:
        """Hypothesis repeats itself, and does not look for the smallest example."""
        import hypothesis  # Not before pytest has prepared its assertions.

        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile(
            "mutants",
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
        )
        hypothesis.settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes note of a test that failed."""
        self._failed = self._failed or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All mutants, in place of all tests."""
        self._items = session.items
        seen: Seen = pickle.loads(_in_child(self._look))
        self.broken = seen.failed
        if not self.broken:
            self._try_all(seen)
        return True

    def _look(self) -> bytes:
        """Runs every test once, without a mistake."""
        called: set[_Function] = set()
        vars(builtins)["note_call"] = lambda *function: called.add(function)
        for path in (SOURCE / name for name in self._given.modules):
            for function, code in noted(path):
                put(path, function, code)
        calls: dict[_Function, set[int]] = defaultdict(set)
        seconds, failed = [], []
        for place, item in enumerate(self._items):
            called.clear()
            began = time.process_time()
            if self._fails(place):
                failed.append(item.nodeid)
            seconds.append(time.process_time() - began)
            for known in called:
                calls[known].add(place)
        return pickle.dumps(Seen(dict(calls), seconds, failed))

    def _fails(self, place: int) -> bool:
        """Whether the test fails."""
        self._failed = False
        item = self._items[place]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._failed

    def _try_all(self, seen: Seen) -> None:
        gc.freeze()  # What a child looks at stays shared.
        waiting = [mutant for name in self._given.modules for mutant in self._chosen(name)]
        running: dict[int, _Running] = {}
        total = len(waiting)
        print(f"{total} mutants in {len(self._given.modules)} modules, {len(self._items)} tests", flush=True)
        while waiting or running:
            while waiting and len(running) < self._given.processes:
                begun = _Running(waiting.pop(0), mmap(-1, 8))
                running[self._begin(begun, seen)] = begun
            child, status = os.wait()
            self._judge(running.pop(child), status)

    def _chosen(self, name: str) -> list[Mutant]:
        everything = list(mutants_of(SOURCE / name))
        if self._given.sample and len(everything) > self._given.sample:
            numbers = Random(f"{self._given.seed} {name}").sample(range(len(everything)), self._given.sample)
            return [everything[number] for number in sorted(numbers)]
        return everything

    def _begin(self, begun: _Running, seen: Seen) -> int:
        child = os.fork()
        if child:
            return child
        try:
            gc.disable()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
            _be_silent()
            mutant = begun.mutant
            put(mutant.path, mutant.function, mutant.code)
            for place in self._places(seen, (str(mutant.path), mutant.function)):
                limit = math.ceil(time.process_time() + CPU_S_MORE + CPU_TIMES * seen.seconds[place])
                resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
                if self._fails(place):
                    begun.noticed[:] = place.to_bytes(8)
                    os._exit(1)
            os._exit(0)
        finally:
            os._exit(1)  # An error that even pytest does not survive is noticed.

    def _places(self, seen: Seen, function: _Function) -> list[int]:
        """Of the tests that call a function, in their order."""
        calling = sorted(seen.calls.get(function, ()), key=seen.seconds.__getitem__)
        places = [place for place in self._telling if place in calling]
        places += [place for place in calling if place not in places]
        until = accumulate(seen.seconds[place] for place in places)
        return [place for place, seconds in zip(places, until, strict=True) if seconds <= TESTS_CPU_S]

    def _judge(self, over: _Running, status: int) -> None:
        mutant, place = over.mutant, int.from_bytes(over.noticed[:])
        over.noticed.close()
        counts = self.counts[str(mutant.path.relative_to(SOURCE))]
        if status == 0:
            self.survivors.append(mutant)
            counts["survived"] += 1
            print(f"survived: {mutant.path.relative_to(SOURCE)}:{mutant.line} {mutant.name}", flush=True)
        elif os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL):
            counts["endless"] += 1
        else:
            counts["failed"] += 1
            self._telling = [place, *(other for other in self._telling if other != place)]


def _in_child(work: Any) -> bytes:
    """What the work returns in a child, so that nothing of it stays here."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        try:
            _be_silent()
            with os.fdopen(into, "wb") as pipe:
                pipe.write(work())
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    return content


def _be_silent() -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def known_survivors() -> set[str]:
    """`module function: change` of the survivors that have a reason."""
    rows = (line.split(" | ") for line in SURVIVORS.read_text().splitlines() if line.startswith("| `"))
    return {f"{row[0].strip('| `')} {row[1].strip('` ')}".replace("\\|", "|") for row in rows}


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=MODULES, metavar="MODULE")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of each module, always the same; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--tests", action="append", metavar="PATH", help="below tests/; in place of those of the money")
    parser.add_argument("--json", type=Path, help="where the counts are written")
    given = parser.parse_args()
    mutating = Mutating(given)
    tests = [str(ROOT / "tests" / name) for name in given.tests or TESTS]
    options = ["-q", "-s", "-p", "no:xdist", "-p", "no:cacheprovider", "--timeout=0", "--no-header", "--no-summary"]
    status = pytest.main([*options, *tests], plugins=[mutating])
    if status or mutating.broken:
        print("these tests fail without any mistake:", *mutating.broken, sep="\n  ")
        return 1
    return _report(mutating, given)


def _report(mutating: Mutating, given: argparse.Namespace) -> int:
    total = Counter[str]()
    for name, counts in mutating.counts.items():
        total += counts
        print(_line(name, counts))
    print(_line("all", total))
    if given.json:
        given.json.write_text(
            json.dumps({name: dict(counts) for name, counts in mutating.counts.items()}, indent=1) + "\n"
        )
    known = known_survivors()
    names = [f"{mutant.path.relative_to(SOURCE)} {mutant.name}" for mutant in mutating.survivors]
    unexplained = [name for name in names if name not in known]
    for name in unexplained:
        print(f"no reason in {SURVIVORS.relative_to(ROOT)}: {name}")
    looked_at = () if given.sample else given.modules
    needless = sorted(name for name in known - set(names) if name.split()[0] in looked_at)
    for name in needless:
        print(f"noticed, or not in the code any more, and in {SURVIVORS.relative_to(ROOT)}: {name}")
    return 1 if unexplained or needless or total["survived"] > (1 - KILLED_MIN) * total.total() else 0


def _line(name: str, counts: Counter[str]) -> str:
    noticed = counts.total() - counts["survived"]
    share = 100 * noticed / max(counts.total(), 1)
    return f"{name}: {noticed} of {counts.total()} noticed ({share:.1f} %), {counts['endless']} of them by running on"


if __name__ == "__main__":
    sys.exit(main())
