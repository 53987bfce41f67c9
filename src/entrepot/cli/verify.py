"""`entrepot verify`: rebuilds everything from the log elsewhere, and compares it with the books row by row."""

import argparse
import time
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, progress, settings_of, show

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `verify`."""
    add_command(subparsers, "verify", "rebuild everything from the log elsewhere and compare", _verify)


def _verify(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books, open_scratch_books
    from entrepot.compose.usage_log import counted_segments, open_log_reader
    from entrepot.flows.show_bill import ledger_state
    from entrepot.workers import verify

    settings = settings_of(args)
    began = time.monotonic()
    reader = open_log_reader(settings.home)
    progress("reading the whole log and its seals")
    log = reader.check()
    with open_current_books(settings) as kept, open_scratch_books() as rebuilt:
        faults = verify(
            kept, rebuilt, reader, lambda count: progress(f"rebuilding: {count:,} of {log.records:,} records")
        )
        state = ledger_state(rebuilt)
        invoices = len(rebuilt.invoices())
    progress("")
    seconds = time.monotonic() - began
    document = {
        "equal": not faults,
        "faults": faults,
        "log": log,
        "ledger": state,
        "invoices": invoices,
        "seconds": round(seconds, 3),
    }
    lines = [
        f"log: {log.records:,} records in {counted_segments(log)}, every byte read, seal {log.seal}",
        f"ledger: {state.entries:,} entries, {'balanced' if state.balanced else 'NOT BALANCED'}, {state.root}",
        f"invoices: {invoices:,}",
        *faults,
        (f"{len(faults)} differences" if faults else f"equal, rebuilt in {seconds:.1f} s"),
    ]
    show(args, document, lines)
    return 1 if faults else 0
