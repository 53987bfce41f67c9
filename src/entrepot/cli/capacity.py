"""`entrepot capacity …`: how many provisioned units traffic needs, and how past traffic would have gone with them."""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, period_of, progress, reading, settings_of, show
from entrepot.cli.world import read_world_files
from entrepot.core.errors import BadInput, NotFound
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.provisioned import GEOGRAPHIES, SizingRule, nearest_units, sizing_at

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.prices import PriceTable
    from entrepot.core.usage_event import UsageEvent
    from entrepot.core.world import World
    from entrepot.ports.usage_rows import RowFault


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `capacity size` and `capacity simulate`."""
    group = add_group(subparsers, "capacity", "provisioned throughput: how many units, and what they are worth")
    parser = add_command(group, "size", "how many units so many requests a minute need", _size)
    _model_flags(parser)
    parser.add_argument("--requests-per-minute", type=_count, required=True, metavar="N")
    parser.add_argument("--input", type=_count, required=True, metavar="TOKENS", help="of each request")
    parser.add_argument("--output", type=_count, required=True, metavar="TOKENS", help="of each answer")
    parser.add_argument(
        "--cached", type=_share, default=Fraction(0), metavar="PERCENT", help="of the input that comes from the cache"
    )
    parser = add_command(group, "simulate", "how past traffic would have gone with provisioned units", _simulate)
    _model_flags(parser)
    parser.add_argument("--usage", nargs="+", type=Path, metavar="FILE", help="instead of what the books hold")
    parser.add_argument("--period", required=True, metavar="YYYY-MM", help="the month of the traffic")
    parser.add_argument("--customer", metavar="ID", help="its traffic alone, at the prices of its contract")
    parser.add_argument("--deployment", metavar="ID", help="that deployment's traffic alone")
    parser.add_argument("--units", type=_counts, metavar="N,…", help="how many to try; three fitting sizes without it")
    parser.add_argument(
        "--output-bound", type=_count, default=0, metavar="TOKENS", help="held for an answer until it is over"
    )


def _model_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="ID")
    parser.add_argument("--world", nargs="+", type=Path, metavar="WORLD.yaml", help="instead of the applied one")
    parser.add_argument("--geography", choices=GEOGRAPHIES, default="global", help="of the deployment (global)")
    parser.add_argument("--at", metavar="DATE", help="by the sizing rule in force then; the newest without it")


def _count(text: str) -> int:
    if not text.isdecimal() or not text.isascii():
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number")
    return int(text)


def _counts(text: str) -> list[int]:
    counts = [_count(part) for part in text.split(",")]
    if not all(counts):
        raise argparse.ArgumentTypeError("there must be at least one unit")
    return counts


def _share(text: str) -> Fraction:
    try:
        share = Fraction(text.removesuffix("%").strip()) / 100
    except (ValueError, ZeroDivisionError):
        share = Fraction(-1)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a percentage from 0 to 100")
    return share


def _world(args: argparse.Namespace) -> "World":
    if args.world:
        return read_world_files(args.world)
    from entrepot.compose.books import open_current_books

    with open_current_books(settings_of(args)) as books:
        declared = books.world()
    if declared is None:
        raise NotFound("nothing is declared yet; name a world file with --world, or apply one: entrepot apply")
    return declared[1]


def _rule(args: argparse.Namespace, world: "World") -> SizingRule:
    model = next((model for model in world.models if model.id == args.model), None)
    if model is None:
        raise NotFound(f"there is no model {args.model!r}; declared are {', '.join(item.id for item in world.models)}")
    try:
        at = parse_instant(args.at, "UTC") if args.at else END_OF_TIME
    except ValueError as error:
        raise BadInput(f"--at: {error}", param="at") from None
    rule = sizing_at(model.provisioned, args.geography, at)
    if rule is None:
        raise NotFound(f"model {model.id} is not available as {args.geography} provisioned at that time")
    if not rule.input_tokens_per_minute:
        raise BadInput(
            f"model {model.id} does not say what a unit does; declare provisioned: "
            "{input_tokens_per_minute_per_unit: …} of it"
        )
    return rule


def _size(args: argparse.Namespace) -> int:
    from entrepot.reporting.throughput import sized

    rule = _rule(args, _world(args))
    load, units = sized(
        rule,
        requests=args.requests_per_minute,
        input_tokens=args.input,
        output_tokens=args.output,
        cached=args.cached,
    )
    document = {"model": args.model, "geography": args.geography, "load_per_minute": load, "units": units}
    show(
        args,
        document,
        [
            f"{units:,} units of {args.model}, {args.geography}",
            f"load {load:,} input tokens a minute; an output token takes {rule.output_weight}, a cached one nothing",
            f"a unit does {rule.input_tokens_per_minute:,} a minute; {rule.minimum} at least, in steps of {rule.step}",
        ],
    )
    return 0


def _simulate(args: argparse.Namespace) -> int:
    from entrepot.reporting.paper import table
    from entrepot.reporting.throughput import FIT_COLUMNS, PastTraffic, fit, fit_rows

    world = _world(args)
    rule = _rule(args, world)
    for units in args.units or ():
        _check_units(args, rule, units)
    traffic = PastTraffic(_events(args), rule)
    progress("")
    if not traffic.events:
        raise NotFound(f"there is no usage of model {args.model} in {args.period} to try it with")
    prices, currency = _prices(args, world)
    fits = [
        fit(traffic, units, prices, currency, args.output_bound)
        for units in (args.units if args.units is not None else traffic.sizes())
    ]
    lines = [
        f"{len(traffic.events):,} requests of {args.model} in {traffic.minutes:,} minutes of {args.period}, load "
        f"{sum(traffic.loads):,} input tokens"
        + (f", by the token {fits[0].costs.by_token} {currency}" if fits[0].costs else ""),
        "",
        *table(FIT_COLUMNS, fit_rows(fits), "r" * len(FIT_COLUMNS)),
        "",
        f"bursts of {rule.burst_s} s of throughput are taken at once; refused requests go to a spillover deployment",
        "or get 429. `even at`: how busy the units must be to cost what the same traffic costs by the token.",
    ]
    show(args, {"model": args.model, "period": args.period, "minutes": traffic.minutes, "fits": fits}, lines)
    return 0


def _check_units(args: argparse.Namespace, rule: SizingRule, units: int) -> None:
    """Nothing, when so many can be had. Raises: BadInput naming the nearest that can."""
    nearest = nearest_units(rule, units)
    if units not in nearest:
        raise BadInput(
            f"--units {units}: {args.model} is {args.geography} provisioned with at least {rule.minimum} units, in "
            f"steps of {rule.step}; nearest is {' or '.join(map(str, nearest))}",
            param="units",
        )


def _events(args: argparse.Namespace) -> "Iterator[UsageEvent]":
    period = period_of(args.period)
    since, until = period.start("UTC"), period.end("UTC")
    found = _events_of_files(args.usage) if args.usage else _events_of_books(args, since, until)
    for event in found:
        if (
            event.model == args.model
            and since <= event.admitted_at < until
            and args.customer in {None, event.customer}
            and args.deployment in {None, event.deployment}
        ):
            yield event


def _events_of_files(paths: list[Path]) -> "Iterator[UsageEvent]":
    from entrepot.compose.usage_input import usage_events

    def refuse(path: Path, faults: "list[RowFault]") -> None:
        raise BadInput(f"{path}:{faults[0].line}: {faults[0].reason}")

    return usage_events(paths, refuse, reading)


def _events_of_books(args: argparse.Namespace, since: int, until: int) -> "Iterator[UsageEvent]":
    from entrepot.compose.books import open_current_books

    with open_current_books(settings_of(args)) as books:
        yield from books.events(since, until, args.customer)


def _prices(args: argparse.Namespace, world: "World") -> "tuple[PriceTable | None, str]":
    """The prices in force at the end of the period under the customer's contract, and their currency."""
    from entrepot.core.world import WorldIndex

    if args.customer is None:
        return None, ""
    index = WorldIndex(world)
    until = period_of(args.period).end("UTC")
    contract = index.contract_at(args.customer, until - 1)
    if contract is None:
        raise NotFound(f"customer {args.customer!r} has no contract in {args.period}")
    held = [item for item in index.price_versions(contract.price_book, contract.zone) if item[0] < until]
    return (index.agreed_prices(contract.id, held[-1][1].id) if held else None), contract.charged_in
