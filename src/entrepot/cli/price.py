"""`entrepot price diff`: what a new price book version or contract would change on a past month."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, period_of, progress, settings_of, show, table
from entrepot.cli.world import read_world_files
from entrepot.core.errors import BadInput
from entrepot.core.money import grouped, parse_pico
from entrepot.core.periods import parse_instant

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.flows.price_diff import PriceDiff
    from entrepot.reporting.price_lines import CustomerDiff, LineDiff


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `price diff`."""
    group = add_group(subparsers, "price", "what prices would do")
    parser = add_command(group, "diff", "a past month under a new world, customer by customer; nothing is kept", _diff)
    parser.add_argument(
        "--world", nargs="+", type=Path, required=True, metavar="WORLD.yaml", help="the new world, whole"
    )
    parser.add_argument("--period", required=True, metavar="YYYY-MM", help="a month whose usage is in the books")
    parser.add_argument(
        "--as-of", metavar="DATE", help="the day whose terms count; without, the day the new world's newest terms begin"
    )
    parser.add_argument("--as-dated", action="store_true", help="take contracts and prices as the new world dates them")
    parser.add_argument(
        "--events", action="store_true", help="count every event again, where readings would do as well"
    )


def _diff(args: argparse.Namespace) -> int:
    from entrepot.compose.what_if import month_under

    if args.as_of and args.as_dated:
        args.parser.error("--as-of and --as-dated are two ways to say when; use one")
    period = period_of(args.period)
    world = read_world_files(args.world)
    found = month_under(
        settings_of(args),
        world,
        period,
        as_of=_instant(args.as_of) if args.as_of else None,
        as_dated=args.as_dated,
        by_events=args.events,
        report=lambda count: progress(f"{count:,} records"),
    )
    progress("")
    show(args, found, _lines(found))
    return 0


_PARTS = ("  model", "meter", "quantity", "old", "new", "difference")


def _part(line: "LineDiff") -> tuple[str, ...]:
    name = f"  {line.model or line.kind}"
    return (name, line.meter, *map(grouped, (line.new_quantity, line.old, line.new, line.difference)))


def _instant(text: str) -> int:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BadInput(str(error), param="as-of") from None


def _lines(found: "PriceDiff") -> Iterator[str]:
    terms = f"terms of {found.as_of[:10]}" if found.as_of else "terms as they are dated"
    yield f"{found.period} under the new world, {terms}; before tax"
    if not found.customers and not found.unpriced:
        yield f"nothing is booked of {found.period} that either world would charge"
        return
    yield ""
    rows: list[tuple[str, ...]] = [("customer", "old", "new", "difference", "", "")]
    ordered = sorted(found.customers, key=lambda item: (item.currency, _weight(item), item.customer))
    rows += [(item.name, *_amounts(item.old, item.new, item.difference), _currencies(item)) for item in ordered]
    rows += [("together", *_amounts(total.old, total.new, total.difference), total.currency) for total in found.totals]
    yield from table(rows, right=(1, 2, 3, 4))
    for item in ordered:
        changed = [line for line in item.lines if line.old != line.new or line.old_quantity != line.new_quantity]
        if changed:
            yield ""
            yield item.name
            yield from table([_PARTS, *map(_part, changed)], right=(2, 3, 4, 5))
    for unpriced in found.unpriced:
        yield f"not in what is new: {unpriced.units:,} units of {unpriced.customer}: {unpriced.reason}"
    counted = sorted(customer for customer, how in found.counted_by.items() if how == "events")
    if counted:
        yield f"counted event by event: {', '.join(counted)}; all others reading by reading, which comes to the same"


def _weight(item: "CustomerDiff") -> int:
    return -abs(parse_pico(item.difference or "0"))


def _currencies(item: "CustomerDiff") -> str:
    return item.currency if item.currency == item.new_currency else f"{item.currency} to {item.new_currency}"


def _amounts(old: str, new: str, difference: str | None) -> tuple[str, ...]:
    """Both, and the difference twice: in money and in per cent; empty where the currencies differ."""
    apart = grouped(difference) if difference is not None else ""
    return (grouped(old), grouped(new), apart, _percent(old, difference))


def _percent(old: str, difference: str | None) -> str:
    if difference is None or not parse_pico(old):
        return ""
    tenths = 1000 * parse_pico(difference) // parse_pico(old)
    return f"{'+' if tenths >= 0 else '-'}{abs(tenths) // 10}.{abs(tenths) % 10} %"
