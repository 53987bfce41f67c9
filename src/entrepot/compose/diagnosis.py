"""What `entrepot doctor` looks at: whether machine and data directory can run the product, and how they are."""

import asyncio
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose.books import open_books
from entrepot.compose.counters import counter_store, reach_valkey, valkey_name
from entrepot.compose.home import outer_fault
from entrepot.compose.running import Running, missing_roles, read_running
from entrepot.compose.settings import DEFINITIONS, Address, Settings, unknown_variables
from entrepot.compose.upstream_keys import upstream_keys
from entrepot.compose.usage_log import counted_segments, open_log_reader
from entrepot.core.errors import BadInput, EntrepotError
from entrepot.core.log_records import Reconciled
from entrepot.core.periods import format_instant
from entrepot.core.world import World

_PYTHON_MIN = (3, 11)

# Beside the models' weights, the log wants room for a segment and the books for their write-ahead log.
_CPU_FEATURE = "avx2"


class Finding(msgspec.Struct, frozen=True):
    """One look. warn: something will not work as it could; bad: something does not work."""

    name: str
    state: Literal["good", "warn", "bad"]
    detail: str


def diagnose(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    """Every finding, the machine first."""
    yield _python()
    yield _processor(Path("/proc/cpuinfo"))
    yield _disk(settings)
    if _is_closed(settings.home):
        return
    running = read_running(settings)
    yield from _serves(settings, running)
    yield from _addresses(settings, {role for each in running for role in each.roles})
    yield _counters(settings, next((each for each in running if "gateway" in each.roles), None))
    yield _log(settings)
    yield from _books(settings, environment)
    yield _snapshot(settings)
    for sentence in unknown_variables(environment):
        yield Finding("environment", "warn", sentence)


def _python() -> Finding:
    good = sys.version_info >= _PYTHON_MIN
    return Finding("python", "good" if good else "bad", platform.python_version())


def _processor(cpuinfo: Path) -> Finding:
    """llama.cpp comes compiled for AVX2 on x86-64; elsewhere it has other code."""
    if platform.machine() not in {"x86_64", "AMD64"} or not cpuinfo.exists():
        return Finding("processor", "good", platform.machine())
    if _CPU_FEATURE in cpuinfo.read_text().split():
        return Finding("processor", "good", f"{platform.machine()} with AVX2")
    return Finding("processor", "bad", "without AVX2: local chat models cannot run; use upstreams elsewhere")


def _disk(settings: Settings) -> Finding:
    if _is_closed(settings.home):
        detail = (
            f"{settings.home} is not for this user to look into, so the rest was not looked at; run this as its owner"
        )
        return Finding("disk", "bad", detail)
    place = settings.home
    while not place.exists():
        place = place.parent
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return Finding("disk", "bad", f"{place} cannot be written by this user; log, books and sockets go there")
    free_mb = shutil.disk_usage(place).free // 10**6
    if free_mb < settings.disk_free_mb_min:
        return Finding("disk", "bad", f"{free_mb:,} MB free at {place}; the usage log will refuse work when it is full")
    return Finding("disk", "good", f"{free_mb:,} MB free at {place}")


def _is_closed(place: Path) -> bool:
    """Whether this user may not look into a directory, or not even know of it."""
    try:
        return place.exists() and not os.access(place, os.R_OK | os.X_OK, effective_ids=True)
    except PermissionError:
        return True


def _serves(settings: Settings, running: Sequence[Running]) -> Iterator[Finding]:
    if not running:
        yield Finding("serve", "good", "not running")
        return
    for each in running:
        yield _serve(settings, each)
    missing = missing_roles(running)
    if missing:
        yield Finding("serve", "warn", f"not running: {', '.join(missing)}")


def _serve(settings: Settings, running: Running) -> Finding:
    """What runs and where, and which of its settings are not ours, since all that is shown beside is by ours."""
    what = "everything" if len(running.roles) > 1 else running.roles[0]
    places = {"gateway": f", gateway at {running.gateway}", "control": f", console at {running.console}"}
    where = "".join(places.get(role, "") for role in running.roles)
    children = "1 child" if len(running.children) == 1 else f"{len(running.children)} children"
    detail = f"{what} runs as process {running.pid} with {children}{where}"
    theirs = running.settings_beside(settings)
    told, wanted = theirs.environment(), settings.environment()
    others = [
        f"{item.name} is {told[item.variable] or '(none)'}, here {wanted[item.variable] or '(none)'}"
        for item in DEFINITIONS
        if not _is_as_asked(getattr(theirs, item.name), getattr(settings, item.name))
    ]
    if valkey_name(settings) != running.valkey:
        others.append(f"valkey_url names {running.valkey or '(none)'}, here {valkey_name(settings) or '(none)'}")
    if not others:
        return Finding("serve", "good", detail)
    return Finding("serve", "warn", f"{detail}; its settings differ from those shown here: {'; '.join(others)}")


def _is_as_asked(found: object, asked: object) -> bool:
    """Any port is as asked where any free one was."""
    if isinstance(found, Address) and isinstance(asked, Address) and asked.port == 0:
        return found.host == asked.host
    return found == asked


def _addresses(settings: Settings, roles: Collection[str]) -> Iterator[Finding]:
    """Whether those of roles that do not run are free. roles: those that run."""
    for role, name in (("gateway", "gateway_address"), ("control", "console_address")):
        if role in roles:
            continue
        address = getattr(settings, name)
        try:
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            with socket.create_server(address, family=family):
                detail = f"{address} is free" if address.port else f"any free port of {address.host}"
                yield Finding(name, "good", detail)
        except OSError as error:
            yield Finding(name, "bad", f"{address}: {error.strerror}; set ENTREPOT_{name.upper()} to another address")


def _counters(settings: Settings, running: Running | None) -> Finding:
    """Where limits are counted by the gateways that run, or would be by these settings."""

    def look() -> str | Finding:
        counted_by = settings if running is None else running.settings_beside(settings)
        if running is not None and counted_by.counters == "valkey" and running.valkey != valkey_name(settings):
            detail = f"limits are counted in Valkey at {running.valkey}, which ENTREPOT_VALKEY_URL does not name here"
            return Finding("counters", "warn", f"{detail}, so it was not asked")
        store = counter_store(counted_by)
        if store == "valkey":
            reached = asyncio.run(reach_valkey(settings))
            detail = f"limits are counted in Valkey at {reached.name}"
            policy = reached.evicts_by
            return Finding("counters", "warn", detail + _forgets(policy)) if policy else detail
        if store == "process":
            return "limits are counted in the gateway process, which is the only one"
        if running is not None and "gateway 1" in running.children and "counters" not in running.children:
            raise BadInput("the process that counts limits for all gateways is not running; it is being started again")
        return "limits are counted in one process for all gateways of this machine"

    return _guarded("counters", look)


def _forgets(policy: str) -> str:
    return (
        f", which forgets them when its memory is full (maxmemory-policy {policy}): limits and budgets may then be "
        "granted twice; set maxmemory-policy noeviction"
    )


def _log(settings: Settings) -> Finding:
    def look() -> str:
        log = open_log_reader(settings.home).check()
        return f"{log.records:,} records in {counted_segments(log)}, {log.size_bytes:,} bytes, all of them read"

    return _guarded("log", look)


def _books(settings: Settings, environment: Mapping[str, str]) -> Iterator[Finding]:
    if not settings.books_file.exists():
        yield Finding("books", "good", "none yet; they are made at the first command")
        return
    worlds: list[World] = []
    kept: list[Reconciled] = []

    def look() -> str:
        with open_books(settings) as books:
            counts = books.usage_counts()
            kept.extend(books.reconciliations())
            declared = books.world()
            worlds.extend([declared[1]] if declared else [])
            events = "usage event" if counts.booked == 1 else "usage events"
            return f"{counts.booked:,} {events} booked, {sum(counts.quarantined.values()):,} in quarantine"

    found = _guarded("books", look)
    yield found
    if found.state == "bad":
        return
    yield _reconciled(kept)
    for world in worlds:
        for upstream in world.upstreams:
            try:
                upstream_keys(environment)(upstream.key)
            except BadInput as error:
                yield Finding("upstream", "warn", f"{upstream.id}: {error.message}")
        yield _models(settings, world)


def _reconciled(kept: Sequence[Reconciled]) -> Finding:
    """Whether log, store, readings, ledger and invoices agree, as far as they were held against each other."""
    if not kept:
        return Finding("reconciliation", "good", "none yet; the worker reconciles each day when it is complete")
    for record in kept:
        for fault in record.faults:
            return Finding("reconciliation", "bad", f"{format_instant(record.since)[:10]}: {fault}")
    return Finding("reconciliation", "good", f"all five agree, last until {format_instant(kept[-1].until)}")


def _models(settings: Settings, world: World) -> Finding:
    local = sorted({model for item in world.upstreams if item.kind != "openai" for model in item.models.values()})
    if not local:
        return Finding("models", "good", "none on this machine")
    prepared = any(settings.models_directory.glob("*.gguf"))
    needs = any(item.kind == "llama_cpp" for item in world.upstreams)
    if needs and not prepared:
        return Finding("models", "warn", f"{', '.join(local)}: prepared at the next start, which takes longer")
    return Finding("models", "good", f"{', '.join(local)}: prepared")


def _counted(number: int, what: str) -> str:
    """So many things, in words; what: one of them."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _snapshot(settings: Settings) -> Finding:
    def look() -> str:
        snapshot = FileSnapshots(settings.snapshot_file).load()
        if snapshot is None:
            return "none yet; `entrepot apply` makes it, or `entrepot serve` where a world is applied"
        deployments = sum(len(project.deployments) for project in snapshot.projects.values())
        return (
            f"version {snapshot.version}: {_counted(deployments, 'deployment')}, {_counted(len(snapshot.keys), 'key')}"
        )

    return _guarded("snapshot", look)


def _guarded(name: str, look: Callable[[], str | Finding]) -> Finding:
    try:
        found = look()
        return found if isinstance(found, Finding) else Finding(name, "good", found)
    except EntrepotError as error:
        return Finding(name, "bad", error.message)
    except OSError as error:
        fault = outer_fault(error)
        if not fault:
            raise
        return Finding(name, "bad", fault)
