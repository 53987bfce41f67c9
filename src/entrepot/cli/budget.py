"""`entrepot budget …`: what customers, projects and keys may spend, and how much of it is spent."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, settings_of, show, table
from entrepot.core.errors import NotFound
from entrepot.core.money import format_pico, parse_pico

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.reporting.budgets import BudgetReport


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `budget list` and `budget show`."""
    group = add_group(subparsers, "budget", "what may be spent, and how much of it is")
    listing = add_command(group, "list", "list budgets with what is spent, held and left of them", _list)
    listing.add_argument("--customer", help="only those of a customer, its projects and keys")
    one = add_command(group, "show", "show the budgets of a customer, a project or a key", _show)
    one.add_argument("owner", metavar="ID", help="of a customer, a project or a key")


def _list(args: argparse.Namespace) -> int:
    found = [item for item in _reports(args) if args.customer in (None, item.customer)]
    show(args, {"budgets": found}, _lines(found))
    return 0


def _show(args: argparse.Namespace) -> int:
    found = [item for item in _reports(args) if args.owner in (item.owner, item.id)]
    if not found:
        raise NotFound(f"nothing called {args.owner!r} has a budget; `entrepot budget list` shows those there are")
    show(args, {"budgets": found}, (line for item in found for line in _details(item)))
    return 0


def _reports(args: argparse.Namespace) -> "list[BudgetReport]":
    from entrepot.compose.budgets import current_budgets

    return current_budgets(settings_of(args))


def _lines(found: "list[BudgetReport]") -> Iterator[str]:
    if not found:
        yield "no budgets; declare them in the world file, or with `entrepot key create --budget`"
        return
    rows = [("budget of", "term", "mode", "limit", "spent", "", "held", "left", "forecast", "")]
    for item in found:
        term = item.period or item.kind
        amounts = [_short(item, text) for text in (item.limit, item.spent, item.held, item.left)]
        expected = _short(item, item.forecast) if item.forecast is not None else ""
        owner = item.owner if item.scope == "key" else f"{item.scope} {item.owner}"
        limit, spent, held, left = amounts
        rows.append((owner, term, item.mode, limit, spent, f"{item.percent} %", held, left, expected, item.unit))
    yield from table(rows, right=(3, 4, 5, 6, 7, 8))


def _details(item: "BudgetReport") -> Iterator[str]:
    yield f"{item.id}, {item.mode}" + (f", {item.period}" if item.period else "")
    rows = [
        ("limit", item.limit, item.unit),
        ("spent", item.spent, f"{item.percent} %"),
        ("held by open requests", item.held, ""),
        ("left", item.left, ""),
    ]
    if item.forecast is not None:
        rows.append(("at the month's end, if it goes on like this", item.forecast, ""))
    yield from ("  " + line for line in table(rows, right=(1,)))
    if item.resets_at is not None:
        yield f"  begins anew at {item.resets_at}"
    yield f"  told at {', '.join(f'{percent} %' for percent in item.thresholds) or 'no threshold'}"


def _short(item: "BudgetReport", text: str) -> str:
    """Money to four digits after the point, rounded down; tokens as they are."""
    if item.unit == "tokens":
        return text
    pico = parse_pico(text)
    return format_pico(pico - pico % 10**8, 2)
