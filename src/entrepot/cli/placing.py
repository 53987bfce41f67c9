"""The flags that say how a published trace becomes usage: whose it is, and when it happened."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.core.errors import BadInput
from entrepot.core.periods import Instant, parse_instant

if TYPE_CHECKING:
    from entrepot.core.world import World
    from entrepot.metering.trace_usage import Placing, Target
    from entrepot.ports.usage_rows import TraceRows

_TRACE_FLAGS = (
    "map",
    "customer",
    "deployment",
    "spread",
    "shift_to",
    "origin",
    "tokens_per_request",
    "continues",
    "label",
)


def add_placing(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    from entrepot.core.tokens import TIERS

    group = parser.add_argument_group(
        "traces", "a published trace says who asked when for how much, and not whose it is"
    )
    group.add_argument("--trace", metavar="KIND", help="the file is a trace: azure, burstgpt, mooncake or servegen")
    group.add_argument("--map", metavar="WHAT=COLUMN,…", help="what the file's columns are called, where otherwise")
    group.add_argument("--deployment", metavar="[PROJECT/]NAME", help="book all rows on this deployment")
    group.add_argument("--customer", metavar="ID", help="whose deployment it is, where several have one of that name")
    group.add_argument(
        "--spread", metavar="world|FILE", help="over all deployments, or a YAML file {project/name: weight}"
    )
    group.add_argument("--shift-to", metavar="DATE", help="move the trace's first day to this one")
    group.add_argument("--origin", metavar="DATE", help="the trace's first day, where it is not known")
    group.add_argument("--tier", choices=TIERS, default="default")
    group.add_argument("--label", metavar="TEXT", help="makes the same rows other usage than without, or with another")
    group.add_argument("--tokens-per-request", metavar="IN,OUT", help="for traces that only count requests")
    group.add_argument(
        "--continues", type=Path, metavar="FILE", help="the part of the trace that ends where this begins"
    )
    parser.set_defaults(parser=parser)


def check_placing(args: argparse.Namespace) -> None:
    """Nothing; ends the program with status 2 where the flags do not go together."""
    given = [f"--{name.replace('_', '-')}" for name in _TRACE_FLAGS if getattr(args, name) is not None]
    if args.trace is None and given:
        args.parser.error(f"{given[0]} needs --trace")
    if args.trace is not None and (args.deployment is None) == (args.spread is None):
        args.parser.error("a trace needs --deployment or --spread, one of the two")


def trace_names(args: argparse.Namespace) -> dict[str, str]:
    """{what: column} of --map. Raises: BadInput."""
    names = {}
    for pair in (args.map or "").split(","):
        what, equals, column = pair.partition("=")
        if pair and not equals:
            raise BadInput("--map is written like input=prompt_tokens,output=answer_tokens")
        if pair:
            names[what.strip()] = column
    return names


def placing_of(args: argparse.Namespace, rows: "TraceRows", world: "World | None") -> "Placing":
    """How the rows become usage. Raises: BadInput with what to add."""
    from entrepot.metering.trace_usage import Placing, known_origin

    if world is None:
        raise BadInput("no world is declared, so nobody could be charged; run `entrepot apply WORLD.yaml` first")
    first = next((row.at_ns for batch in rows.batches() for row in batch.rows), None)
    origin = _date("--origin", args.origin) if args.origin else known_origin(args.trace, first)
    shift_to = _date("--shift-to", args.shift_to) if args.shift_to else None
    if shift_to is not None and origin is None:
        raise BadInput("the first day of this trace is not known; give --origin DATE, the same for every part of it")
    if shift_to is None and origin == 0:
        raise BadInput("this trace counts its time from its own beginning; give --shift-to DATE")
    return Placing(
        trace=args.trace,
        targets=_targets(args, world),
        origin=0 if shift_to is None else origin or 0,
        shift_to=shift_to or 0,
        per_request=_per_request(args.tokens_per_request),
        tier=args.tier,
        label=args.label or "",
    )


def _date(flag: str, text: str) -> Instant:
    try:
        return parse_instant(text)
    except ValueError as error:
        raise BadInput(f"{flag}: {error}") from None


def _per_request(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    given, comma, taken = text.partition(",")
    if not (comma and given.isdecimal() and taken.isdecimal()):
        raise BadInput("--tokens-per-request is written like 1155,211")
    return int(given), int(taken)


def _targets(args: argparse.Namespace, world: "World") -> "tuple[Target, ...]":
    from entrepot.metering.trace_usage import find_targets

    if args.spread == "world":
        return find_targets(world, {f"{one.project}/{one.id}": 1 for one in world.deployments})
    if args.spread is not None:
        return find_targets(world, _weights(Path(args.spread)))
    return find_targets(world, {_named(args.deployment, args.customer, world): 1})


def _named(name: str, customer: str | None, world: "World") -> str:
    owners = {project.id: project.customer for project in world.projects}
    found = [
        f"{one.project}/{one.id}"
        for one in world.deployments
        if name in (one.id, f"{one.project}/{one.id}") and customer in (None, owners[one.project])
    ]
    if not found:
        raise BadInput(f"the world declares no deployment {name}" + (f" of customer {customer}" if customer else ""))
    if len(found) > 1:
        raise BadInput(f"{name} could be {', '.join(found)}; write one of them, or give --customer")
    return found[0]


def _weights(path: Path) -> dict[str, int]:
    import yaml

    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise BadInput(f"{path} is not YAML: {error}") from None
    if not isinstance(said, dict) or not all(isinstance(n, str) and type(w) is int for n, w in said.items()):
        raise BadInput(f"{path} must be a mapping of project/deployment to a whole number, its weight")
    return said
