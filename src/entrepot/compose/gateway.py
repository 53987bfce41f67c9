"""A gateway process: serves clients from the published snapshot; no database, no state of its own.

    python -m entrepot.compose.gateway [--home DIR] [--host HOST] [--port PORT] [--sockets FD,FD,…]

Prints one line, `{"ready":true,"url":…,"pid":…}`, once it listens; several may listen on one port, or on sockets that
they inherit. `{"outgrown":true}` follows where a later snapshot needs what only a start can make ready without
stopping answers, or where the machine's clock was set back: another process should take its place. SIGTERM and SIGINT:
takes no new requests, lets running answers end for as long as `drain_seconds` says, and ends with 0. SIGQUIT: another
process has taken its place, so it does the same without hurry: connections that are open are served once more, and it
has `reload_drain_seconds`. SIGHUP: reads certificate and upstream keys again. When the log process is gone nothing may
be served: it ends its answers and ends with 1; what the log process had not written yet is kept in a file that the
next one takes in (adapters.kept_frames).
"""

import argparse
import asyncio
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path

import uvloop

from entrepot import __version__
from entrepot.adapters.clocks import SystemClock
from entrepot.adapters.handed_on.batch_thread import BatchThread
from entrepot.adapters.handed_on.line_file import LineFile
from entrepot.adapters.handed_on.otlp_exporter import OtlpExporter
from entrepot.adapters.metric_files import MetricFiles
from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.adapters.tokenizers import BundledTokenizers
from entrepot.adapters.usage_sink import SocketUsageSink
from entrepot.admission.desk import Desk
from entrepot.compose.answer_stores import AnswerStores
from entrepot.compose.child import open_more_files
from entrepot.compose.counters import open_counters
from entrepot.compose.gateway_doors import Doors, first_of
from entrepot.compose.processes import say_outgrown, say_ready
from entrepot.compose.server_tls import ServerTls, server_tls
from entrepot.compose.set_clocks import SetBack
from entrepot.compose.settings import Address, Settings, load_settings
from entrepot.compose.socket_paths import short_path
from entrepot.compose.tokens import internal_token
from entrepot.compose.upstream_keys import KeyWatch, upstream_keys
from entrepot.compose.upstream_tls import upstream_tls
from entrepot.compose.usage_log import connect_usage_sink
from entrepot.core.errors import BadInput, EntrepotError, SnapshotRefused
from entrepot.core.identifiers import key_digest
from entrepot.core.log_records import InstanceBegan
from entrepot.core.periods import SECOND, Instant
from entrepot.core.turns import at_once
from entrepot.edge.access_log import AccessLog
from entrepot.edge.client_connection import ClientLimits
from entrepot.edge.gateway_report import Watchers
from entrepot.edge.inference_api import InferenceApi
from entrepot.edge.tracing import Tracer
from entrepot.flows.forward_jobs import ForwardJobs
from entrepot.flows.serve_inference.flow import ServeInference
from entrepot.metering.usage_writer import UsageWriter
from entrepot.relay.upstream import UpstreamLimits, UpstreamPool

SWEEP_S = 0.25
SWEEPS_PER_TICK = 4
TURN_S = 0.002  # Of the event loop, that reading a snapshot may take at a time.
REPLACED_S_MAX = 90.0  # Longer than others take to get ready.

# Requests leave no circles behind, so there is little to find; Python's own 700 looks through those that are open
# after every few dozen of them, which was a tenth of the gateway's time.
GC_THRESHOLDS = (10_000, 20, 20)
_INSTANCE_BITS = 32
_log = logging.getLogger("entrepot.gateway")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="entrepot.compose.gateway", description="Serves clients.")
    parser.add_argument("--home", help="data directory")
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", help="port to listen on; 0 for any that is free")
    parser.add_argument("--sockets", help="sockets to listen on instead, which it inherits, by their descriptors")
    given = parser.parse_args(arguments)
    open_more_files()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        settings = load_settings(os.environ, {} if given.home is None else {"home": given.home})
        address = settings.gateway_address
        address = Address(given.host or address.host, _port(given.port, address.port))
        return uvloop.run(_serve(settings, address, _inherited(given.sockets)))
    except EntrepotError as error:
        sys.stderr.write(f"entrepot gateway: {error.message}\n")
        return 1


def _port(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or int(text) > 65535:
        raise BadInput(f"--port {text!r} must be a number up to 65535", param="port")
    return int(text)


def _inherited(text: str | None) -> list[socket.socket]:
    try:
        return [] if text is None else [socket.socket(fileno=int(number)) for number in text.split(",")]
    except (ValueError, OSError):
        raise BadInput(f"--sockets {text!r} must be descriptors of sockets, like 5,6", param="sockets") from None


async def _serve(settings: Settings, address: Address, inherited: Sequence[socket.socket]) -> int:
    """The exit status, once told to stop or once the log process is gone."""
    loop = asyncio.get_running_loop()
    stopping, replaced, lost = asyncio.Event(), asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGQUIT, replaced.set)
    tls = server_tls(settings)
    keys = KeyWatch()
    loop.add_signal_handler(signal.SIGHUP, _follow, tls, keys)
    instance = secrets.randbits(_INSTANCE_BITS)
    kept_is_safe = settings.answers_wait_for == "memory"
    sink = await connect_usage_sink(settings.home, f"{instance:08x}", lost.set, kept_is_safe=kept_is_safe)
    clock = SystemClock()
    pool = UpstreamPool(loop, UpstreamLimits(), upstream_tls(settings))
    stores = AnswerStores(settings, loop)
    counters = await open_counters(settings, f"{instance:08x}", clock.now)
    sink.append(InstanceBegan(f"{instance:08x}", clock.now()))
    flow = ServeInference(
        instance=f"{instance:08x}",
        usage=UsageWriter(sink, clock),
        pool=pool,
        secret_of=upstream_keys(os.environ),
        desk=Desk(counters.counters, settings.counters_lost_share, counters.counters.spent),
        tokenizers=BundledTokenizers(),
        stores=stores.by_name,
    )
    token = internal_token(settings)
    jobs = ForwardJobs(pool, str(short_path(settings.jobs_socket)), token)
    watchers, told = _watchers(settings, f"{instance:08x}")
    api = InferenceApi(flow, jobs, clock, instance, ClientLimits(), watchers)
    follower = SnapshotFollower(settings.snapshot_file, flow, key_digest(token))
    follower.look()
    if flow.snapshot is not None and flow.snapshot.budgets:
        await counters.wait_for_books(clock.now)
    doors = Doors(api, tls)
    await doors.open(address, inherited)
    _spare_the_collector()
    timers = [
        loop.create_task(_tick(loop, api, pool, flow, sink, tls, stores, keys)),
        loop.create_task(follower.follow()),
        loop.create_task(_mind_the_clock(SetBack(clock), stopping, replaced)),
    ]
    for timer in timers:
        timer.add_done_callback(partial(_stop_without_timer, stopping))
    say_ready(url=doors.address.url_with("https" if tls else "http"))
    await first_of(stopping, replaced, lost)
    await _drain(doors, api, flow, settings, stopping, lost)
    for timer in timers:
        timer.cancel()
    _report_the_end(api, told, clock.now())
    pool.close()
    stores.close()
    for _ in range(2):  # What lay idle from one sweep to the next is given back.
        flow.sweep(clock.now())
    await counters.close()
    if not lost.is_set():
        await sink.close()
        return 0
    _log.error("log_process_lost; what was open is resolved from the log")
    return 1


def _report_the_end(api: InferenceApi, told: Sequence[BatchThread], at: Instant) -> None:
    """Tells the rest of what happened, and counts what was told of it."""
    api.report.sweep()
    for thread in told:
        thread.close()
    api.report.publish(at)


def _watchers(settings: Settings, instance: str) -> tuple[Watchers, list[BatchThread]]:
    """Where this process tells what happens; and the threads that hand it on."""
    board = MetricFiles(settings.metrics_directory, f"gateway-{instance}")
    access_log = tracer = None
    told: list[BatchThread] = []
    if settings.access_log:
        told.append(LineFile(settings.access_log))
        access_log = AccessLog(told[-1], settings.access_log_form)
    if settings.otlp_endpoint:
        told.append(OtlpExporter(settings.otlp_endpoint))
        about = {"service.name": "entrepot-gateway", "service.version": __version__, "service.instance.id": instance}
        tracer = Tracer(settings.trace_share, told[-1], about)
    return Watchers(board, access_log, tracer), told


def _spare_the_collector() -> None:
    gc.collect()
    gc.freeze()  # What is there now stays; looking through it again and again would only take time.
    gc.set_threshold(*GC_THRESHOLDS)


async def _tick(
    loop: asyncio.AbstractEventLoop,
    api: InferenceApi,
    pool: UpstreamPool,
    flow: ServeInference,
    sink: SocketUsageSink,
    tls: ServerTls | None,
    stores: AnswerStores,
    keys: KeyWatch,
) -> None:
    """The timer of the process: deadlines at each sweep; progress once a second."""
    sweeps = 0
    while True:
        await asyncio.sleep(SWEEP_S)
        now = loop.time()
        api.sweep(now)
        pool.sweep(now)
        flow.sweep(api.now())
        sweeps += 1
        if sweeps % SWEEPS_PER_TICK == 0:
            flow.tick()
            sink.tick()
            for fault in keys.look(flow.ways.renew_keys):
                _log.error("upstream_key_not_renewed reason=%s", fault)
            api.report.publish(api.now())
            _follow(tls)
            stores.tick()


async def _mind_the_clock(clock: SetBack, stopping: asyncio.Event, replaced: asyncio.Event) -> None:
    """Has this process replaced once the machine's clock was set back; where nobody does that, it ends its answers."""
    loop = asyncio.get_running_loop()
    while True:
        back = clock.look()
        if back:
            _log.warning("clock_set_back by_s=%d; another gateway has to take the place of this one", back // SECOND)
            say_outgrown()
            loop.call_later(REPLACED_S_MAX, _stop_unless, replaced, stopping)
        await asyncio.sleep(SWEEP_S)


def _stop_unless(replaced: asyncio.Event, stopping: asyncio.Event) -> None:
    if not replaced.is_set():
        stopping.set()


def _stop_without_timer(stopping: asyncio.Event, timer: asyncio.Task[None]) -> None:
    """A process whose timer has failed ends its answers, so that another one begins."""
    if not timer.cancelled() and timer.exception() is not None:
        _log.error("timer_failed; this gateway ends", exc_info=timer.exception())
        stopping.set()


def _follow(tls: ServerTls | None, distrusted: KeyWatch | None = None) -> None:
    """Takes up a certificate that was replaced. One that cannot be used leaves the old one in place.

    distrusted: upstream keys to be read again at the next tick.
    """
    if distrusted is not None:
        distrusted.distrust()
    fault = tls.follow() if tls is not None else None
    if fault:
        _log.error("certificate_refused reason=%s", fault)


async def _drain(
    doors: Doors,
    api: InferenceApi,
    flow: ServeInference,
    settings: Settings,
    stopping: asyncio.Event,
    lost: asyncio.Event,
) -> None:
    """Takes no more connections, lets answers end, and cuts those that take too long.

    Told to stop, connections without a request end at once. Replaced, they stay for one more, since nothing tells a
    client that is just about to send it. Answers that are read for clients that have left are answers, too.
    """
    doors.close()
    api.desk.draining = True
    loop = asyncio.get_running_loop()
    end = loop.time() + settings.reload_drain_seconds
    while (flow.shared.left or flow.sessions or not doors.is_empty) and loop.time() < end and not lost.is_set():
        if stopping.is_set():
            if not api.desk.stopping:
                end = min(end, loop.time() + settings.drain_seconds)
            api.desk.stopping = True
            for connection in list(api.connections):
                if connection.is_idle:
                    connection.close()
        await asyncio.sleep(SWEEP_S / 5)
    for connection in list(api.connections):
        connection.cut()
    flow.cut()


class SnapshotFollower:
    """Keeps a flow at the newest published snapshot. One that is refused leaves the old one serving."""

    def __init__(self, path: Path, flow: ServeInference, trusted: str) -> None:
        """trusted: see identity.authenticate.Directory."""
        self._path = path
        self._trusted = trusted
        self._snapshots = FileSnapshots(path)
        self._flow = flow
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> None:
        """Serves from the snapshot if its file is another than last time; all else stops meanwhile."""
        at_once(self._looking())

    async def follow(self) -> None:
        """Looks a few times a second, for ever."""
        while True:
            await asyncio.sleep(SWEEP_S)
            before = self._flow.snapshot
            await self.look_in_turns()
            if self._flow.snapshot is not before:
                gc.freeze()  # What came stays until the next; requests that are open now go without the collector.

    async def look_in_turns(self) -> None:
        """The same as `look`, a little in each turn of the event loop."""
        ends = time.perf_counter() + TURN_S
        for _ in self._looking():
            if time.perf_counter() >= ends:
                await asyncio.sleep(0)
                ends = time.perf_counter() + TURN_S

    def _looking(self) -> Generator[None, None, None]:
        try:
            status = self._path.stat()
        except OSError:
            return
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            snapshot = yield from self._snapshots.loading()
            faults = [] if snapshot is None else (yield from self._flow.adopting(snapshot, self._trusted))
        except SnapshotRefused as error:
            _log.error("snapshot_refused reason=%s", error.message)
            return
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, what serves goes on as it is
            _log.exception("snapshot_refused reason=it cannot be served from (%r); the last one stays", error)
            return
        for fault in faults:
            _log.error("snapshot_incomplete reason=%s", fault)
        if self._flow.counting.missing:
            names = ",".join(self._flow.counting.missing)
            _log.info("tokenizers_missing names=%s; prompts count as their bytes until this gateway is replaced", names)
            say_outgrown()


if __name__ == "__main__":
    sys.exit(main())
