"""What it costs to watch the gateway: user-mode instructions of its process for a plain request, counted by valgrind.

    .venv/bin/python benchmarks/observability.py [--rounds 3] [--page FILE]

Every way of watching takes its turn in each round. See README.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.gateway.load import Load, send, start_mock  # noqa: E402 the root has to be on the path first
from benchmarks.gateway.native_tools import ToolMissing  # noqa: E402
from benchmarks.gateway.processes import Bench, Children  # noqa: E402
from benchmarks.gateway.product import entrepot  # noqa: E402
from benchmarks.instructions import VALGRIND, begin_counting, counted, zero  # noqa: E402

IDLE_S = 3
REQUESTS = Load(connections=64, warm_s=0, window_s=4)
TIMED = Load(connections=64, warm_s=0, window_s=4, more=("--header=x-entrepot-timing: 1",))
TRACED = Load(
    connections=64,
    warm_s=0,
    window_s=4,
    more=("--header=traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",),
)


class Way(NamedTuple):
    """A way of watching. collector, access_log: whether it has one; share: of requests that are recorded."""

    name: str
    load: Load = REQUESTS
    module: str = "entrepot.compose.gateway"
    access_log: str = ""
    share: str = ""


UNWATCHED = "nothing counted"
DEFAULT = "metrics (always on)"
WAYS = (
    Way(UNWATCHED, module="benchmarks.gateway.unwatched"),
    Way(DEFAULT),
    Way("metrics, access log as JSON", access_log="json"),
    Way("metrics, access log as text", access_log="text"),
    Way("metrics, traces on, none recorded", share="0"),
    Way("metrics, traces of 1 %", share="0.01"),
    Way("metrics, traces of all", share="1"),
    Way("metrics, a `traceparent` passed on", load=TRACED),
    Way("metrics, `server-timing` asked for", load=TIMED),
)


def main(arguments: Sequence[str]) -> int:
    """0, or 2 when it cannot be counted here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--page", type=Path, help="where the table is written, too")
    asked = parser.parse_args(arguments)
    found: dict[str, list[float]] = {way.name: [] for way in WAYS}
    try:
        if shutil.which("valgrind") is None:
            raise ToolMissing("valgrind is needed. On Debian and Ubuntu: apt-get install valgrind")
        for _ in range(asked.rounds):
            for way in WAYS:
                found[way.name].append(count(way))
                print(f"{way.name}: {found[way.name][-1]:.0f}", flush=True)
    except (ToolMissing, RuntimeError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 2
    text = table({name: statistics.median(values) for name, values in found.items()})
    print(text)
    if asked.page is not None:
        asked.page.write_text(f"{HEAD.format(rounds=asked.rounds)}\n{text}")
    return 0


HEAD = """# What it costs to watch the gateway

User-mode instructions of the gateway process, without its log process, for a plain request of 0.8 kB with an answer of
1 kB, as `benchmarks/observability.py` counts them under valgrind: compiled request path, median of {rounds}.
What the kernel does (writing the access log four times a second, sending spans) is not in it. Nothing here is done for
a single event of a stream.
"""


def table(found: Mapping[str, float]) -> str:
    """The figures as Markdown, with what each adds to what is always on."""
    usual = found[DEFAULT]
    lines = ["| | instructions a request | more than metrics alone |", "|---|---|---|"]
    for name, value in found.items():
        more = "" if name == DEFAULT else f"{value - usual:+,.0f} ({(value - usual) / usual:+.1%})"
        lines.append(f"| {name} | {value:,.0f} | {more} |")
    return "\n".join([*lines, ""])


def count(way: Way) -> float:
    """Instructions of the gateway process for a request, watched this way.

    Less what it does anyway as time goes by, which here, fifty times slower, would fall on few requests.
    """
    with tempfile.TemporaryDirectory(prefix="entrepot-bench-") as scratch, collector() as endpoint:
        cores = sorted(os.sched_getaffinity(0))
        wrapper = (*VALGRIND.split(), f"--callgrind-out-file={Path(scratch) / 'callgrind.out.%p'}")
        children = Children(Bench(cores[0], cores[-1], Path(scratch)), wrapper)
        told = {"ENTREPOT_OTLP_ENDPOINT": endpoint, "ENTREPOT_TRACE_SHARE": way.share} if way.share else {}
        if way.access_log:
            told |= {"ENTREPOT_ACCESS_LOG": f"{scratch}/access.log", "ENTREPOT_ACCESS_LOG_FORM": way.access_log}
        try:
            mock = start_mock(children)
            target = entrepot(20, 20, children, mock, more=told, module=way.module)
            target.await_ready()
            begin_counting(target)
            send(children.bench, way.load, target.port, target.key, [])  # Warm: connections open, paths taken once.
            zero(target)
            began = time.monotonic()
            time.sleep(IDLE_S)
            idle = counted(children, target)["gateway"] / (time.monotonic() - began)
            before = mock.tell().requests
            zero(target)
            began = time.monotonic()
            send(children.bench, way.load, target.port, target.key, [])
            busy = counted(children, target)["gateway"] - idle * (time.monotonic() - began)
            return busy / (mock.tell().requests - before)
        finally:
            children.stop_all()


@contextmanager
def collector() -> Iterator[str]:
    """The address of something that takes spans and forgets them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is named there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
