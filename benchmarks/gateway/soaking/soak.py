"""The course of a soak: slices of load, each with a key of its own, snapshots meanwhile, and a look at everything."""

import os
import subprocess
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass

from benchmarks.gateway.load import LoadResult, Manner, MockUpstream, begin, chat_body, collect
from benchmarks.gateway.machine import Machine
from benchmarks.gateway.processes import Bench
from benchmarks.gateway.product import Product, issued, keys_of, publish, world_text
from benchmarks.gateway.soaking.flatness import Sample, file_faults, latency_faults, look, memory_faults
from benchmarks.gateway.soaking.ledger import Books, Tail
from benchmarks.gateway.soaking.mixture import EVENTS, PACE_US, Ingredient, mixture
from benchmarks.gateway.soaking.report import Slice, SoakRecord
from benchmarks.gateway.targets import eventually
from entrepot.compose.usage_log import open_log_reader
from entrepot.provisioning.world_file import read_world

CUSTOMERS = 20
SWAP_S = 2.0
SAMPLE_S = 1.0
FIRST_RATE = 1000.0
READ_AT_ONCE = 20_000
CATCH_UP_S = 30
CROWDED_US = 20_000


@dataclass(slots=True)
class Client:
    """A load client at work."""

    ingredient: Ingredient
    process: "subprocess.Popen[bytes]"
    ledger: Tail


class Soak:
    """One soak of one product."""

    def __init__(self, bench: Bench, mock: MockUpstream, product: Product, streams: int, share: float) -> None:
        """share: of a core, what gateway and log process are to take together."""
        self._bench, self._product, self._share = bench, product, share
        self._parts = {name: pids[0] for name, pids in product.processes().items()}
        self._mixture = mixture(streams)
        self._rate = FIRST_RATE
        self._number = 0
        self._version = 1
        self._began = time.monotonic()
        self._books = Books()
        self._reader = open_log_reader(product.home)
        self._read_to = product.end_of_log()
        self._world = read_world([("benchmark.yaml", world_text(CUSTOMERS, f"http://127.0.0.1:{mock.port}/v1"))])
        self._samples: dict[str, list[Sample]] = {name: [] for name in self._parts}
        self._slices: list[Slice] = []
        self._failures: Counter[str] = Counter()
        mock.tell(events=EVENTS, pace_us=PACE_US)

    def go_on(self, seconds: float) -> None:
        """One slice: a new key, every ingredient at once, snapshots while it lasts."""
        self._number += 1
        self._swap()
        eventually(self._product.gateways[0], self._use_key)  # It looks for a new snapshot a few times a second.
        cpu_before, began = self._cpu_s(), time.monotonic()
        clients = [self._send(ingredient, seconds) for ingredient in self._mixture]
        next_swap = began + SWAP_S
        while any(client.process.poll() is None for client in clients):
            time.sleep(SAMPLE_S / 4)
            now = time.monotonic()
            self._take_in(clients)
            if now >= next_swap:
                next_swap = now + SWAP_S
                self._swap()
            self._sample(now)
        share = (self._cpu_s() - cpu_before) / (time.monotonic() - began)
        self._note(clients, share)
        self._rate = max(FIRST_RATE, self._rate * self._adjustment(share))

    def end(self) -> None:
        """Waits until the log holds what was told last, for a while."""
        until = time.monotonic() + CATCH_UP_S
        while self._books.open and time.monotonic() < until:
            self._take_in([])
            time.sleep(0.1)

    def progress(self) -> str:
        """A line about the last slice."""
        last = self._slices[-1]
        memory = ", ".join(f"{name} {samples[-1].rss_kb / 1024:.1f} MB" for name, samples in self._samples.items())
        return (
            f"{last.at_s:.0f} s: {last.requests} requests, {last.share:.2f} of a core, p50 {last.p50_us:.0f} µs, "
            f"p99 {last.p99_us:.0f} µs; {memory}; {sum(self._books.even.values())} metered once, "
            f"{len(self._books.open)} open{'; ' + str(dict(self._failures)) if self._failures else ''}"
        )

    def record(self, measured_on: str, machine: Machine, settings: dict[str, float]) -> SoakRecord:
        """Everything that was found."""
        faults = [f"{count} {what}" for what, count in self._failures.items()]
        faults += self._books.faults()
        for name, samples in self._samples.items():
            faults += memory_faults(name, samples) + file_faults(name, samples)
        faults += latency_faults([each.p50_us for each in self._slices])
        if [pid for pids in self._product.processes().values() for pid in pids] != list(self._parts.values()):
            faults.append("a process ended or began")
        even = dict(self._books.even)
        return SoakRecord(measured_on, machine, settings, even, self._version, self._slices, self._samples, faults)

    # ---- parts of a slice

    def _adjustment(self, share: float) -> float:
        """What the rate is multiplied by. Where the share cannot be had, since others use the machine, it goes down."""
        if self._slices[-1].p50_us > CROWDED_US:
            return 0.7
        return min(1.5, max(0.5, self._share / max(share, 0.01)))

    def _swap(self) -> None:
        """Publishes the world again: the keys of this slice are good, those of the last are not any more."""
        self._version += 1
        rotating = issued(f"rotating-{self._number}", self._key(self._number), "project-1")
        environment = {"ENTREPOT_HOME": str(self._product.home)}
        publish(environment, self._world, [*keys_of(CUSTOMERS, CUSTOMERS), rotating], self._version)

    def _use_key(self) -> None:
        """Asks for something that is not metered. Raises: OSError where the gateway does not know this slice's key."""
        fields = {"Authorization": f"Bearer {self._key(self._number)}"}
        url = f"http://127.0.0.1:{self._product.port}/v1/models"
        urllib.request.urlopen(urllib.request.Request(url, headers=fields), timeout=30).close()

    def _key(self, number: int) -> str:
        return f"ek-rotating-{number:040d}"

    def _send(self, ingredient: Ingredient, seconds: float) -> Client:
        load = ingredient.load(self._rate, seconds)
        key = self._key(self._number - 1 if ingredient.stranger else self._number)
        extra = {"mock": ingredient.mock} if ingredient.mock else {}
        ledger = self._bench.scratch / f"ledger-{self._number}-{ingredient.name.replace(' ', '-')}"
        process = begin(
            self._bench,
            load,
            self._product.port,
            key,
            [],
            Manner(),
            chat_body(load, extra=extra),
            (f"--ledger={ledger}",),
        )
        return Client(ingredient, process, Tail(ledger))

    def _take_in(self, clients: list[Client]) -> None:
        """Reads on in the log and in the ledgers; a stranger's ids are not to be in the log at all."""
        for client in clients:
            lines = client.ledger.lines()
            if not client.ingredient.stranger:
                self._books.told(lines, as_asked=bool(client.ingredient.mock))
        found = self._reader.read(self._read_to, READ_AT_ONCE)
        records = []
        for position, record in found:
            self._read_to = position
            records.append(record)
        self._books.recorded(records)

    def _sample(self, now: float) -> None:
        taken = self._samples["gateway"]
        if not taken or now - self._began - taken[-1].at_s >= SAMPLE_S:
            for name, pid in self._parts.items():
                self._samples[name].append(look(pid, now - self._began))

    def _note(self, clients: list[Client], share: float) -> None:
        """Adds the slice; whatever failed that was not to fail is counted."""
        results = {client.ingredient.name: collect(client.process, client.ingredient.load(0, 60)) for client in clients}
        self._take_in(clients)
        for client in clients:
            result, name = results[client.ingredient.name], client.ingredient.name
            client.ledger.path.unlink(missing_ok=True)
            self._failures.update({text: count for text, count in _failures(client.ingredient, result) if count})
            if not result.answered + result.aborted + result.failed:
                self._failures[f"slices in which nothing was asked of the kind {name!r}"] += 1
        plain = results["plain"]
        asked = sum(result.answered + result.aborted + result.failed for result in results.values())
        at_s = time.monotonic() - self._began
        delays = results["streams"].event_delay_us
        self._slices.append(
            Slice(at_s, asked, results["streams"].events, share, plain.latency_us.p50, plain.latency_us.p99, delays.p99)
        )

    def _cpu_s(self) -> float:
        return sum(_cpu_s(pid) for pid in self._parts.values())


def _failures(ingredient: Ingredient, result: LoadResult) -> list[tuple[str, int]]:
    """(what went wrong, how often) of one client in one slice."""
    name = ingredient.name
    return [
        (f"requests of the kind {name!r} failed: {result.failed_by_status}", 0 if ingredient.fails else result.failed),
        (f"requests of the kind {name!r} did not fail", result.answered if ingredient.fails else 0),
        (f"answers of the kind {name!r} were cut short", result.cut_short),
        (f"events of the kind {name!r} were lost", result.lost_events),
        (f"requests of the kind {name!r} never ended", result.unfinished),
    ]


def _cpu_s(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 no path is worth keeping
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
