"""`entrepot usage …`: usage that was metered elsewhere comes in; booked usage is looked at and goes out."""

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.attempts import attempt_lines, attempts_of
from entrepot.cli.command import add_command, add_group, check_export, period_of, progress, settings_of, show, table
from entrepot.cli.placing import add_placing, check_placing, placing_of, trace_names
from entrepot.core.errors import BadInput
from entrepot.core.periods import END_OF_TIME, Instant, format_instant

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.usage_event import UsageEvent
    from entrepot.core.world import World
    from entrepot.exporting.focus_columns import FocusVersion
    from entrepot.flows.import_usage import Imported, Importing
    from entrepot.ports.books import Quarantined, UsageCounts
    from entrepot.ports.usage_rows import RowFault

REJECTED_SHOWN = 20
EXPORTED_AT_ONCE = 5000


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `usage import`, `usage list` and `usage export`."""
    group = add_group(subparsers, "usage", "bring in, list and export usage")
    bring = add_command(group, "import", "book the usage of a file; again changes nothing", _import)
    bring.add_argument("file", type=Path, metavar="FILE", help="JSON Lines, CSV or Parquet, also gzipped; or a trace")
    bring.add_argument("--rejected", type=Path, metavar="PATH", help="where rows that cannot be used are written")
    add_placing(bring)
    listing = add_command(group, "list", "list the usage that was booked last", _list)
    listing.add_argument("--limit", type=int, default=20, help="how many at most (20)")
    listing.add_argument("--attempts", action="store_true", help="every upstream that was asked for it")
    listing.add_argument("--quarantined", action="store_true", help="what cannot be booked instead, and why, by id")
    export = add_command(group, "export", "write booked usage as a file, or what it cost as one of FOCUS", _export)
    export.add_argument("--format", choices=("jsonl", "csv", "parquet", "focus"), default="jsonl")
    export.add_argument("--focus-version", choices=("1.2", "1.4"), help="of the columns (1.2)")
    export.add_argument("--out", type=Path, metavar="FILE", help="where to; standard output without it")
    for parser in (listing, export):
        parser.set_defaults(parser=parser)
        parser.add_argument("--customer", metavar="ID", help="only this customer's")
        parser.add_argument("--period", metavar="YYYY-MM", help="only what was admitted in this month (UTC)")


# ---- import ----------------------------------------------------------------------------------------


def _import(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books, open_log
    from entrepot.compose.usage_input import open_rejections
    from entrepot.flows.import_usage import Importing

    check_placing(args)
    settings = settings_of(args)
    first: list[RowFault] = []
    began = time.perf_counter()
    with open_rejections(args.rejected or args.file.with_name(args.file.name + ".rejected.jsonl")) as rejected:

        def reject(fault: "RowFault") -> None:
            rejected.add(fault)
            if len(first) < REJECTED_SHOWN:
                first.append(fault)

        with open_current_books(settings) as books:
            before, world = books.usage_counts(), books.world()
        with open_log(settings) as log:
            work = Importing(log, reject, lambda done: progress(f"{done.read:,} rows read, {done.appended:,} logged"))
            done = _run(args, work, world[1] if world else None)
        with open_current_books(settings, lambda count: progress(f"{count:,} records folded")) as books:
            after = books.usage_counts()
    progress("")
    document = _summary(args.file, done, before, after, time.perf_counter() - began)
    document |= {"rejected_file": str(rejected.path) if rejected.count else None, "first_rejected": first}
    _complain(done, first)
    show(args, document, _import_lines(document))
    return _verdict(args.file, done, rejected.path)


def _run(args: argparse.Namespace, work: "Importing", world: "World | None") -> "Imported":
    from entrepot.compose.usage_input import open_trace, open_usage_file
    from entrepot.flows.import_usage import import_records, import_trace

    if args.trace is None:
        return import_records(open_usage_file(args.file), work)
    rows = open_trace(args.file, args.trace, trace_names(args))
    after = open_trace(args.continues, args.trace, trace_names(args)) if args.continues else None
    return import_trace(rows, placing_of(args, rows, world), work, after=after)


def _summary(
    file: Path, done: "Imported", before: "UsageCounts", after: "UsageCounts", seconds: float
) -> dict[str, object]:
    from entrepot.compose.usage_input import peak_memory_mib

    booked = after.booked - before.booked
    quarantined = {
        kind: count - before.quarantined.get(kind, 0)
        for kind, count in after.quarantined.items()
        if count > before.quarantined.get(kind, 0)
    }
    conflicts = quarantined.pop("conflict", 0)
    return {
        "file": str(file),
        "read": done.read,
        "records": done.appended,
        "booked": booked,
        "duplicates": max(0, done.appended - booked - conflicts - sum(quarantined.values())),
        "conflicts": conflicts,
        "quarantined": quarantined,
        "rejected": done.rejected,
        "broken": done.broken,
        "seconds": round(seconds, 3),
        "rows_per_second": round(done.read / seconds) if seconds else 0,
        "peak_memory_mib": peak_memory_mib(),
    }


def _complain(done: "Imported", first: "list[RowFault]") -> None:
    for fault in first:
        sys.stderr.write(f"line {fault.line}: {fault.reason}\n")
    if done.rejected > len(first):
        sys.stderr.write(f"… and {done.rejected - len(first):,} more\n")


def _import_lines(document: dict[str, object]) -> Iterator[str]:
    words = {
        "read": "rows read",
        "records": "records made of them",
        "booked": "booked",
        "duplicates": "duplicates, known already with the same content",
        "conflicts": "conflicts, known already with other content; `entrepot usage list --quarantined` shows them",
        "rejected": "rejected, not usable",
    }
    rows = [(f"{document[name]:,}", about) for name, about in words.items()]
    quarantined = document["quarantined"]
    assert isinstance(quarantined, dict)
    rows += [
        (f"{count:,}", f"{kind}, in quarantine; `entrepot usage list --quarantined` says why")
        for kind, count in quarantined.items()
    ]
    rows += [
        (f"{document['rows_per_second']:,}", f"rows a second, over {document['seconds']} s"),
        (f"{document['peak_memory_mib']:,}", "MiB of memory at most"),
    ]
    yield from table(rows, right=(0,))


def _verdict(file: Path, done: "Imported", rejected: Path) -> int:
    if done.broken:
        sys.stderr.write(f"entrepot: {done.broken}\n")
    if done.rejected:
        sys.stderr.write(f"entrepot: {done.rejected:,} of {done.read:,} rows of {file} were rejected; see {rejected}\n")
    return 1 if done.broken or done.rejected else 0


# ---- list and export -------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.compose.usage_input import usage_record

    if args.limit < 1:
        raise BadInput("--limit must be at least 1")
    since, until = _window(args.period)
    if args.quarantined and (args.period or args.customer):
        args.parser.error("--quarantined is listed whole, without --period and --customer")
    with open_current_books(settings_of(args)) as books:
        if args.quarantined:
            items = books.quarantined(args.limit)
            found = [{"kind": item.kind, "reason": item.reason, "event": usage_record(item.event)} for item in items]
            show(args, {"quarantined": found}, _quarantine_lines(items))
            return 0
        events = books.newest_events(args.limit, since, until, args.customer)
        made = books.attempts([event.id for event in events]) if args.attempts else []
    if args.attempts:
        attempts = [attempt for event in events for attempt in attempts_of(event, made)]
        show(args, {"attempts": attempts}, attempt_lines(attempts))
        return 0
    show(args, {"usage": [usage_record(event) for event in events]}, _list_lines(events))
    return 0


def _quarantine_lines(items: "list[Quarantined]") -> Iterator[str]:
    if not items:
        yield "nothing waits in quarantine"
        return
    yield from table([("id", "kind", "reason"), *((item.event.id, item.kind, item.reason) for item in items)])


def _list_lines(events: "list[UsageEvent]") -> Iterator[str]:
    if not events:
        yield "no usage is booked that matches"
        return
    rows = [("admitted", "customer", "deployment", "model", "tier", "meters", "id")]
    for event in events:
        meters = ", ".join(f"{meter} {quantity:,}" for meter, quantity in event.meters.items())
        place = f"{event.project}/{event.deployment}" if event.project or event.deployment else ""
        rows.append(
            (format_instant(event.admitted_at), event.customer, place, event.model, event.tier, meters, event.id)
        )
    yield from table(rows)


def _export(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.compose.usage_input import open_export

    check_export(args)
    if args.focus_version and args.format != "focus":
        args.parser.error("--focus-version is for --format focus")
    if args.format == "focus":
        return _export_focus(args)
    since, until = _window(args.period)
    written = 0
    with open_current_books(settings_of(args)) as books, open_export(args.out, args.format) as export:
        found = books.events(since, until, args.customer)
        while events := list(islice(found, EXPORTED_AT_ONCE)):
            export.add(events)
            written += len(events)
            progress(f"{written:,} records written")
    progress("")
    if args.out is not None:
        document = {"file": str(args.out), "format": args.format, "records": written}
        show(args, document, [f"{written:,} records in {args.out}"])
    return 0


def _export_focus(args: argparse.Namespace) -> int:
    from entrepot.compose.exports import export_focus

    period = str(period_of(args.period)) if args.period else None
    version: FocusVersion = args.focus_version or "1.2"
    rows = export_focus(settings_of(args), args.out, version, period, args.customer)
    if args.out is not None:
        document = {"file": str(args.out), "format": "focus", "focus_version": version, "rows": rows}
        show(args, document, [f"{rows:,} rows of FOCUS {version} in {args.out}"])
    return 0


def _window(period: str | None) -> tuple[Instant, Instant]:
    if period is None:
        return 0, END_OF_TIME
    month = period_of(period)
    return month.start("UTC"), month.end("UTC")
