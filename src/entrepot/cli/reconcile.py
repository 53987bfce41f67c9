"""`entrepot reconcile …`: what we counted beside what others counted, and beside itself."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, folding, period_of, progress, settings_of, show, table
from entrepot.core.errors import BadInput
from entrepot.core.money import grouped
from entrepot.core.periods import DAY, parse_instant

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.periods import Period
    from entrepot.flows.reconcile_books import FiveWays
    from entrepot.flows.reconcile_partner import ImportedReport, Reconciliation
    from entrepot.reconciling.compare import Finding

_SHOWN = 40
_WORDS = {
    "missing": "not on theirs",
    "unknown": "not on ours",
    "less": "less on theirs",
    "more": "more on theirs",
    "price": "other price",
}


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `reconcile import`, `reconcile partner`, `reconcile day` and `reconcile month`."""
    group = add_group(subparsers, "reconcile", "hold our counts against a partner's, and against one another")
    bring = add_command(group, "import", "book a partner's own usage or cost file; again changes nothing", _import)
    bring.add_argument("partner", help="its id in the world")
    bring.add_argument(
        "file", type=Path, metavar="FILE", help="OpenAI usage or costs, Azure cost export, CSV, JSON Lines"
    )
    bring.add_argument(
        "--columns",
        metavar="day=…,item=…",
        help="of any other table: which of its columns are day, item, meter, quantity, cost, currency, key, account",
    )
    partner = add_command(group, "partner", "a partner's month beside what we counted, by day, model and key", _partner)
    partner.add_argument("partner", help="its id in the world")
    partner.add_argument("period", metavar="YYYY-MM")
    day = add_command(group, "day", "log, store, readings, ledger and invoices beside each other, of a day (UTC)", _day)
    day.add_argument("day", metavar="YYYY-MM-DD")
    month = add_command(group, "month", "the same for a month, with its sums and its invoices line by line", _month)
    month.add_argument("period", metavar="YYYY-MM")
    for one in (day, month):
        one.add_argument("--keep", action="store_true", help="keep in the log what came of it, as the worker does")


def _import(args: argparse.Namespace) -> int:
    from entrepot.compose.partner_input import import_partner_file

    done = import_partner_file(settings_of(args), args.partner, args.file, _columns(args.columns), folding)
    progress("")
    show(args, done, _import_lines(done))
    return 0


def _columns(text: str | None) -> dict[str, str]:
    """{ours: the file's}. Raises: BadInput."""
    from entrepot.reconciling.partner_rows import COLUMNS

    if text is None:
        return {}
    columns = {}
    for pair in text.split(","):
        ours, is_pair, theirs = pair.partition("=")
        if not is_pair or ours not in COLUMNS or not theirs:
            raise BadInput(f"--columns {pair!r}: write {', '.join(COLUMNS)}, each with =COLUMN", param="columns")
        columns[ours] = theirs
    if not {"day", "item"} <= columns.keys() or not {"quantity", "cost"} & columns.keys():
        raise BadInput("--columns needs at least day, item, and quantity or cost", param="columns")
    return columns


def _import_lines(done: "ImportedReport") -> Iterator[str]:
    span = f", {done.days[0]} to {done.days[-1]}" if done.days else ""
    known = f", {done.known:,} of them known already" if done.known else ""
    yield f"{done.rows:,} rows of {done.partner}{span}{known}"
    if done.left_out:
        yield f"{done.left_out:,} rows of other services left out"


def _partner(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books
    from entrepot.core.world import index_of
    from entrepot.flows.reconcile_partner import reconcile_partner

    period = period_of(args.period)
    with open_current_books(settings_of(args)) as books, books.snapshot():
        found = reconcile_partner(
            books, index_of(books.worlds()), args.partner, period, lambda count: progress(f"counting: {count:,} events")
        )
    progress("")
    show(args, found, _lines(found))
    return 0 if found.agrees else 1


def _day(args: argparse.Namespace) -> int:
    try:
        since = parse_instant(args.day)
    except ValueError:
        since = 1
    if since % DAY:
        raise BadInput(f"{args.day!r} is not a day such as 2024-03-05", param="day")
    return _five_ways(args, since, since + DAY, None)


def _month(args: argparse.Namespace) -> int:
    period = period_of(args.period)
    return _five_ways(args, period.start("UTC"), period.end("UTC"), period)


def _five_ways(args: argparse.Namespace, since: int, until: int, month: "Period | None") -> int:
    from entrepot.compose.day_keeper import reconcile_now

    settings = settings_of(args)
    found = reconcile_now(
        settings, since, until, month, keep=args.keep, report=lambda count: progress(f"{count:,} records")
    )
    progress("")
    show(args, found, _five_lines(found))
    return 0 if found.agrees else 1


def _five_lines(found: "FiveWays") -> Iterator[str]:
    yield f"{found.since} to {found.until}"
    yield f"log = store = readings: {found.places:,} hourly sums of a contract's meter"
    by_quantity = f"; {found.by_quantity:,} priced by quantity, in the month's sum" if found.by_quantity else ""
    yield f"readings = ledger: {found.accruals:,} hours of a contract's model, to the pico{by_quantity}"
    papers = f", {found.invoices:,} invoices line by line" if found.invoices else ""
    yield f"readings = invoices: each reading{papers}"
    yield ""
    yield from found.faults
    yield "INCIDENT: they do not agree" if found.faults else "all five agree"


def _lines(found: "Reconciliation") -> Iterator[str]:
    yield f"{found.partner}, {found.period}: {_verdict(found)}"
    yield ""
    rows: list[tuple[str, ...]] = [("model", "upstream", "meter", "ours", "theirs", "difference")]
    rows += [
        (item.model, item.upstream or "all", item.meter, *map(grouped, (item.ours, item.theirs, item.difference)))
        for item in found.totals
    ]
    yield from table(rows, right=(3, 4, 5))
    if found.findings:
        yield ""
        yield from table([_HEADINGS, *map(_row, found.findings[:_SHOWN])], right=(5, 6, 7, 8))
    if len(found.findings) > _SHOWN:
        yield f"… and {len(found.findings) - _SHOWN:,} more; --json has all"
    for item in found.unmapped[:_SHOWN]:
        what = " ".join(word for word in (item.item or "nothing", item.meter, item.key and f"key {item.key}") if word)
        yield f"not compared: {what}: {item.quantity} units, {item.cost}; declare it under charges of {found.partner}"
    for kind, days in found.untold.items():
        if days:
            yield f"no {kind} told of {len(days)} days: {', '.join(days[:5])}{' …' if len(days) > 5 else ''}"
    if found.waiting:
        yield f"{found.waiting:,} units of ours are of requests that wait in quarantine, and are counted here"


_HEADINGS = ("what", "day", "model", "upstream", "meter", "ours", "theirs", "lasting", "worth")


def _row(item: "Finding") -> tuple[str, ...]:
    numbers = (grouped(item.ours), grouped(item.theirs), grouped(item.lasting), item.worth or "no price")
    return (_WORDS[item.kind], item.day, item.model, item.upstream or "all", item.meter or "all", *numbers)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _verdict(found: "Reconciliation") -> str:
    if found.agrees:
        return "the counts agree"
    units = [item for item in found.findings if item.kind != "price"]
    parts = (
        [f"{_counted(len(units), 'difference')} of units worth {found.worth or 'what no price is declared for'}"]
        if units
        else []
    )
    if len(found.findings) > len(units):
        parts.append(f"{len(found.findings) - len(units)} of price worth {found.price_worth}")
    if found.unmapped:
        parts.append(f"{_counted(len(found.unmapped), 'thing')} that nothing of ours is declared for")
    return "; ".join(parts) + (f" ({found.currency})" if found.currency else "")
