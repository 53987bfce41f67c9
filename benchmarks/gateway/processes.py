"""Starting, pinning, watching and stopping the programs under test. Linux only: it reads /proc."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_SECONDS = 10
_ports_given: set[int] = set()
NICE = -18


@dataclass(frozen=True, slots=True)
class Bench:
    """Where things run: one core for the target, one for the load. priority: ours go before neighbours (root)."""

    target_core: int
    load_core: int
    scratch: Path
    priority: bool = False


@dataclass(frozen=True, slots=True)
class Child:
    """A started program and the file that its output goes to."""

    process: subprocess.Popen[str]
    output: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def complaint(self) -> str:
        """The end of what it printed."""
        return self.output.read_text(errors="replace")[-2000:].strip()


@dataclass(slots=True)
class Children:
    """Every program started through it, so that all can be stopped. wrapper: put before each target's command."""

    bench: Bench
    wrapper: tuple[str, ...] = ()
    started: list[Child] = field(default_factory=list)

    def start(
        self,
        name: str,
        command: Sequence[str],
        core: int | None,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """The program, running on the core (None: any) in a session of its own, its output in {scratch}/{name}.log."""
        output = self.bench.scratch / f"{name}.log"
        with output.open("w") as sink:
            process = subprocess.Popen(
                [*(self.wrapper if core != self.bench.load_core else ()), *command],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                text=True,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=lambda: prepare(core, self.bench.priority),  # noqa: PLW1509 there are no threads here
            )
        child = Child(process, output)
        self.started.append(child)
        return child

    def stop_all(self, down_to: int = 0) -> None:
        """Stops what still runs, newest first; down_to: all but so many of the first."""
        while len(self.started) > down_to:
            stop(self.started.pop())


def prepare(core: int | None, priority: bool) -> None:
    """Run in a child before its program: pins it to the core, if there is one, and lifts its limits."""
    if core is not None:
        os.sched_setaffinity(0, {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if priority:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(NICE))


def stop(child: Child) -> None:
    """Asks the program to end, then ends it and whatever it left behind."""
    if child.process.poll() is None:
        child.process.terminate()
        _signal_all(child, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.process.wait(STOP_SECONDS)


@contextlib.contextmanager
def awake(child: Child | None) -> Iterator[None]:
    """While it lasts the program runs; before and after it stands still, so that it costs its neighbours nothing."""
    _signal_all(child, signal.SIGCONT)
    try:
        yield
    finally:
        _signal_all(child, signal.SIGSTOP)


@contextlib.contextmanager
def asleep(child: Child) -> Iterator[None]:
    """While it lasts the program stands still."""
    _signal_all(child, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal_all(child, signal.SIGCONT)


def _signal_all(child: Child | None, number: signal.Signals) -> None:
    for pid in [] if child is None else tree(child.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


@contextlib.contextmanager
def round_robin(pids: Sequence[int], wanted: bool) -> Iterator[None]:
    """While it lasts, neighbours on a shared machine do not delay these processes: SCHED_RR. Needs root."""
    threads = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()] if wanted else []
    _schedule(threads, os.SCHED_RR, 1)
    try:
        yield
    finally:
        _schedule(threads, os.SCHED_OTHER, 0)


def _schedule(threads: Sequence[int], policy: int, priority: int) -> None:
    for thread in threads:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setscheduler(thread, policy, os.sched_param(priority))


def free_port() -> int:
    """A port that was free a moment ago, and not given before, for programs that cannot be told to choose one."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _ports_given:
            _ports_given.add(port)
            return port


def open_files_max() -> int:
    """How many files a child may have open at once."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def resident_kb(pid: int) -> int:
    """The resident memory of a process, or 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Rss:"):
                return int(line.split()[1])
    return 0
