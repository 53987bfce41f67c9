"""`entrepot replay`: a real trace, at its real times, through a running gateway."""

import argparse
import asyncio
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, progress, settings_of, show, table
from entrepot.cli.placing import trace_names
from entrepot.core.errors import BadInput

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.flows.replay import Pace, Replayed


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `replay`."""
    parser = add_command(subparsers, "replay", "send a trace's requests to a gateway at the trace's times", _replay)
    parser.add_argument("file", type=Path, metavar="TRACE", help="a trace with a row for each request")
    parser.add_argument("--trace", metavar="KIND", default="azure", help="azure (the default), burstgpt or mooncake")
    parser.add_argument("--map", metavar="WHAT=COLUMN,…", help="what the file's columns are called, where otherwise")
    parser.add_argument("--speed", default="1", metavar="X", help="so many times faster than it happened (1)")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N requests")
    parser.add_argument(
        "--max-context",
        type=int,
        default=2048,
        metavar="TOKENS",
        help="cut requests to fit in (2048), answers to a quarter",
    )
    parser.add_argument("--scale", default="1", metavar="X", help="make prompts and answers so many times longer (1)")
    parser.add_argument("--at-once", type=int, default=256, metavar="N", help="requests under way at a time (256)")
    parser.add_argument("--stream", action="store_true", help="ask for answers piece by piece")
    parser.add_argument("--seed", type=int, default=1, help="of the made-up prompts (1)")
    parser.add_argument("--base-url", metavar="URL", help="of the API, ending in /v1")
    parser.add_argument("--key", help="the customer's key")
    parser.add_argument(
        "--deployment", metavar="NAME", help="what to ask; with the key, by default from quickstart.json"
    )


def _replay(args: argparse.Namespace) -> int:
    from entrepot.compose.traffic import endpoint_of
    from entrepot.compose.usage_input import open_trace

    pace, rows = _pace(args), open_trace(args.file, args.trace, trace_names(args))
    endpoint = endpoint_of(
        settings_of(args).quickstart_file,
        args.base_url,
        args.key,
        args.deployment,
        stream=args.stream,
        seed=args.seed,
    )

    async def run() -> "Replayed":
        from entrepot.compose.traffic import open_traffic
        from entrepot.flows.replay import replay

        async with open_traffic(endpoint) as traffic:
            return await replay(rows, traffic, pace, lambda sent: progress(f"{sent:,} sent"))

    done = asyncio.run(run())
    progress("")
    show(
        args,
        {"base_url": endpoint.base_url, "deployment": endpoint.deployment, "pace": _said(pace), "result": done},
        _lines(pace, done),
    )
    return 0 if done.answered else 1


def _pace(args: argparse.Namespace) -> "Pace":
    from entrepot.flows.replay import Pace

    if args.limit is not None and args.limit < 1:
        raise BadInput("--limit must be at least 1")
    if args.max_context < 8 or args.at_once < 1:
        raise BadInput("--max-context must be at least 8 and --at-once at least 1")
    return Pace(
        speed=_factor("--speed", args.speed),
        limit=args.limit,
        context_tokens=args.max_context,
        scale=_factor("--scale", args.scale),
        at_once_max=args.at_once,
    )


def _factor(flag: str, text: str) -> Fraction:
    try:
        factor = Fraction(text)
    except (ValueError, ZeroDivisionError):
        factor = Fraction(0)
    if not 0 < factor <= 1_000_000:
        raise BadInput(f"{flag} must be a number above 0, such as 1, 0.5 or 60")
    return factor


def _said(pace: "Pace") -> dict[str, object]:
    return {
        "speed": str(pace.speed),
        "scale": str(pace.scale),
        "limit": pace.limit,
        "context_tokens": pace.context_tokens,
        "at_once_max": pace.at_once_max,
    }


def _lines(pace: "Pace", done: "Replayed") -> Iterator[str]:
    yield from table(
        [
            (f"{done.sent:,}", f"sent in {done.seconds} s, at most {done.at_once_most} under way at once"),
            (f"{done.answered:,}", "answered whole"),
            *((f"{count:,}", f"failed: {what}") for what, count in done.failed.items()),
            *([(f"{done.unreadable_rows:,}", "rows of the trace that cannot be read")] if done.unreadable_rows else []),
            (f"{done.cut:,}", f"made smaller than in the trace: scale {pace.scale}, context {pace.context_tokens:,}"),
        ],
        right=(0,),
    )
    yield ""
    yield from table(
        [
            ("tokens", "in the trace", "asked for", "reported"),
            *(
                (name, f"{tokens.trace:,}", f"{tokens.asked:,}", f"{tokens.reported:,}")
                for name, tokens in (("prompt", done.input_tokens), ("answer", done.output_tokens))
            ),
        ],
        right=(1, 2, 3),
    )
    yield ""
    yield from table(
        [
            ("milliseconds", "p50", "p99", "most"),
            *(
                (name, f"{spread.p50_ms:,.1f}", f"{spread.p99_ms:,.1f}", f"{spread.max_ms:,.1f}")
                for name, spread in (
                    ("late leaving", done.lateness),
                    ("first byte", done.first_byte),
                    ("whole answer", done.latency),
                )
            ),
        ],
        right=(1, 2, 3),
    )
