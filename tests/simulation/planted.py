"""Mistakes planted on purpose, one at a time: the simulation, or the second calculation, must find each.

Each is a change of one place of the product's source, made in a process of its own while it runs.
"""

import os
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from tests.mutation.mutants import code_of, put
from tests.oracle.compare import agree
from tests.simulation.lives import live
from tests.support.tree import ROOT, SOURCE

LIVES_MAX, ROUNDS_MAX = 300, 40


class Planted(NamedTuple):
    """In a function of a file below src/entrepot, a text that stands there once and what is put in its place."""

    what: str
    file: str
    function: str
    old: str
    new: str
    by: str = "simulation"


PLANTED = (
    Planted("repeats are counted", "flows/process_usage.py", "process_usage", "summed(new)", "summed(metered)"),
    Planted("what is posted is not marked", "flows/accrue.py", "accrue", "books.mark_posted(readings)", "None"),
    Planted(
        *("the log says yes before its flush", "adapters/disk_event_log/writer.py", "DiskEventLog.commit"),
        *("            self._file.sync()\n", "            pass\n"),
    ),
    Planted(
        *("the group that meets a full segment is dropped", "adapters/disk_event_log/writer.py", "DiskEventLog.commit"),
        *(
            "            self._seal()\n        self.reopen()",
            "            self._seal()\n            return\n        self.reopen()",
        ),
    ),
    Planted(
        *("a segment is sealed one byte short", "adapters/disk_event_log/writer.py", "DiskEventLog._begin_segment"),
        *("previous_length=self._length,", "previous_length=max(self._length - 1, 0),"),
    ),
    Planted(
        *("requests of a lost gateway stay open", "workers.py", "Fold._stretch"),
        *("self._books.lose_instance(record.instance, record.at)", "pass"),
    ),
    Planted(
        *("a cached token is an input token too", "dialects/openai_usage.py", "meters_of"),
        *("read.prompt_tokens - cached - written", "read.prompt_tokens - written"),
    ),
    Planted(
        *("a request that nobody settled costs nothing", "flows/resolve_usage.py", "_settlement"),
        *("return _reported(request, given_up, served.usage)", 'return _event(request, given_up, "reported", {})'),
    ),
    Planted(
        *("an answer without usage is booked as counted", "flows/resolve_usage.py", "_told_later"),
        *('replace(event, meters=meters, source="reported", raw=served.usage)', "replace(event)"),
    ),
    Planted(
        *("what is invoiced is not marked", "flows/close_month.py", "_invoice"),
        *("books.mark_invoiced(taken, invoice.number)", "pass"),
    ),
    Planted(
        *("late usage begins the steps again", "flows/close_month.py", "_invoice"),
        *("Rater(terms, lambda pool: books.pooled(pool).invoiced)", "Rater(terms)"),
    ),
    Planted(
        *("each hour is rounded", "invoicing/draft.py", "_line"),
        *("sum(charge.amount_pico for", "sum(charge.amount_pico // 10**10 * 10**10 for"),
    ),
    Planted(
        *("credit pays a month again", "invoicing/credits.py", "credit_lines"),
        *("drawn.get((month, name), 0) - used[month, name]", "drawn.get((month, name), 0)"),
    ),
    Planted(
        *("late usage is capped for itself", "invoicing/terms.py", "cap_lines"),
        *("min(0, most - charged) - capped)", "min(0, most - charged))"),
    ),
    Planted(
        *("a reservation costs what of it was used", "invoicing/reservations.py", "_line"),
        *(
            "exact_pico = sum(charge.amount_pico for charge in charges)",
            "exact_pico = sum(charge.amount_pico for charge in charges) * used // minutes",
        ),
    ),
    Planted(
        *("seats added within a month cost all of it", "core/subscriptions.py", "seat_days"),
        *("added += seats - first", "added += subscription.seats[-1].seats - first"),
    ),
    Planted(
        *("seats that are taken back are not trued up", "core/subscriptions.py", "seat_days"),
        *("        peak = max(peak, _assigned(subscription, day))\n", "        peak = _assigned(subscription, day)\n"),
    ),
    Planted(
        *("units are counted again at each mark", "flows/accrue.py", "count_units"),
        *("books.save_units_through(until)", "None"),
    ),
    Planted(
        *("a reservation covers each deployment anew", "metering/units.py", "_counted"),
        *("left[reservation.id] -= covered", "pass"),
    ),
    Planted(
        *("credit expires at each close", "flows/close_month.py", "_expire"),
        *("books.save_expired_credit(contract.id, credit.id, unused)", "pass"),
    ),
    Planted(
        *("a credit note leaves the partner its share", "settlement/partners.py", "resale_base"),
        *("kind_of(invoice, line) in ACCRUED_KINDS", "line.kind in ACCRUED_KINDS"),
    ),
    Planted(
        *("exchange is at the beginning of the month", "invoicing/exchange.py", "_rate"),
        *("period.end(contract.zone) - 1", "period.start(contract.zone)"),
    ),
    Planted(
        *("a window holds its last minute", "core/price_windows.py", "PriceWindow.holds"),
        *("self.from_minute <= minute < self.to_minute", "self.from_minute <= minute <= self.to_minute", "oracle"),
    ),
    Planted(
        *("a bound belongs to the next step", "core/prices.py", "Price._step_of"),
        *("quantity <= step.up_to", "quantity < step.up_to", "oracle"),
    ),
    Planted(
        *("months are those of UTC", "metering/record.py", "Recorder._place"),
        *("month = period_of(at, contract.zone)", 'month = period_of(at, "UTC")', "oracle"),
    ),
    Planted(
        *("discounts cut off instead of rounding", "core/terms.py", "_less"),
        *("divide_half_up(price.unit_pico * rest, SHARE)", "price.unit_pico * rest // SHARE", "oracle"),
    ),
    Planted(
        *("a commitment forgets earlier invoices", "flows/close_month.py", "_draw_down"),
        *("charged = books.spending(contract.id, commitment.begins).charged_pico", "charged = 0", "oracle"),
    ),
    Planted(
        *("a part of a month has the whole minimum", "invoicing/terms.py", "_true_up"),
        *("monthly_pico * part_of_month(contract, month)", "Fraction(monthly_pico)", "oracle"),
    ),
    Planted(
        *("tax is on amounts before rounding", "invoicing/terms.py", "tax_lines"),
        *("parse_pico(line.amount) for line in of_tax", "parse_pico(line.exact) for line in of_tax", "oracle"),
    ),
    Planted(
        *("units that are told late are free", "flows/accrue.py", "recount_units"),
        *("changed_customers(before, after, through)", "set[str]()", "oracle"),
    ),
    Planted(
        *("a reservation covers units of any model", "core/terms.py", "Reservation.covers"),
        *("not self.models or model in self.models", "not self.models or bool(self.models)", "oracle"),
    ),
    Planted(
        *("each piece of a month's minutes is rounded", "rating/rate_usage.py", "Rater._more_of"),
        *("cost_pico(after) - cost_pico(before)", "cost_pico(reading.quantity)", "oracle"),
    ),
    Planted(
        *("exchange is of rounded amounts", "invoicing/exchange.py", "_converted"),
        *("convert_pico(line.exact_pico,", "convert_pico(line.exact_pico // 10**10 * 10**10,", "oracle"),
    ),
)


class Caught(NamedTuple):
    """How a mistake was found; seed None when it was not."""

    planted: Planted
    seed: int | None
    first: str

    def line(self) -> str:
        """In one line."""
        if self.seed is None:
            return f"NOT CAUGHT  {self.planted.what}"
        place = "life" if self.planted.by == "simulation" else "round"
        return f"caught      {self.planted.what}: {self.planted.by}, {place} {self.seed}: {self.first[:90]}"


def hunt(planted: Planted) -> Caught:
    """Plants the mistake here, for good, and looks until it shows."""
    path = SOURCE / planted.file
    source = path.read_text()
    assert source.count(planted.old) == 1, f"{planted.file} has {planted.old!r} {source.count(planted.old)} times"
    changed = compile(source.replace(planted.old, planted.new), str(path), "exec")
    put(path, planted.function, code_of(changed, planted.function))
    for seed in range(LIVES_MAX if planted.by == "simulation" else ROUNDS_MAX):
        try:
            found = live(seed).faults if planted.by == "simulation" else agree(seed).differences
        except Exception as error:  # noqa: BLE001 - a mistake may well stop the product
            found = [f"{type(error).__name__}: {error}"]
        if found:
            return Caught(planted, seed, " ".join(found[0].split()))
    return Caught(planted, None, "")


def hunt_all(processes: int) -> list[Caught]:
    """All of them, each in a process of its own, where nothing is compiled: that could not be changed."""
    with TemporaryDirectory(prefix="planted-") as place:
        copytree(SOURCE, Path(place) / SOURCE.name, ignore=ignore_patterns("*.so", "__pycache__"))
        command = [sys.executable, "-m", "tests.simulation.planted", str(processes)]
        told = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": place}, stdout=subprocess.PIPE, check=True
        ).stdout
    return msgspec.json.decode(told, type=list[Caught])


def main(processes: int) -> None:
    """Prints what came of all of them, as JSON."""
    with get_context("fork").Pool(processes, maxtasksperchild=1) as pool:
        caught = pool.map(hunt, PLANTED, chunksize=1)
    print(msgspec.json.encode(caught).decode())


if __name__ == "__main__":
    main(int(sys.argv[1]))
