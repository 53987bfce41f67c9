"""`entrepot serve`: everything, or one part of it, in this terminal."""

import argparse
import asyncio
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_setting, settings_of, show

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.compose.demo import Quickstart
    from entrepot.compose.settings import Settings

PARTS = ("log", "models", "worker", "gateway", "control", "jobs")


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `serve`."""
    parser = add_command(subparsers, "serve", "run the product in this terminal; Ctrl-C drains and stops", _serve)
    parser.add_argument("--only", choices=PARTS, help="run one part; the others must run elsewhere on this directory")
    parser.add_argument("--demo", action="store_true", help="with the demo world, if none is applied, and demo keys")
    add_setting(parser, "gateway_workers", "--workers")
    add_setting(parser, "gateway_address")
    add_setting(parser, "console_address")


def _serve(args: argparse.Namespace) -> int:
    from entrepot.compose.settings import unknown_variables
    from entrepot.compose.supervisor import Plan, Supervisor

    began = time.monotonic()
    demo = Demo() if args.demo else None
    roles = (args.only,) if args.only else PARTS
    plan = Plan(roles=roles, read_settings=lambda: settings_of(args), began=began)
    if demo is not None:
        plan = replace(plan, prepare=demo.prepare, finish=demo.finish, all_models=True)

    def started(settings: "Settings", took_s: float) -> None:
        urls = {"gateway": settings.gateway_url, "console": settings.console_address.url}
        lines = demo.lines(settings) if demo else [_started(urls, args.only)]
        ready = f"entrepot ready in {took_s:.1f} s"
        show(args, {"ready_s": round(took_s, 3), **urls}, [*lines, ready])
        sys.stdout.flush()

    async def serve() -> None:
        await Supervisor(settings_of(args), plan, _say).run(started)

    for sentence in unknown_variables(os.environ):
        _say(f"entrepot: {sentence}")
    asyncio.run(serve())
    return 0


class Demo:
    """The demo around a start: the world and the keys before it, what to try after it."""

    def __init__(self) -> None:
        self._quickstart: Quickstart | None = None

    def prepare(self, settings: "Settings") -> None:
        """Applies the demo world where there is none, and makes keys."""
        from entrepot.compose.demo import prepare_demo

        self._quickstart = prepare_demo(settings)

    def finish(self, settings: "Settings") -> None:
        """Writes quickstart.json."""
        from entrepot.compose.demo import write_quickstart

        assert self._quickstart is not None
        write_quickstart(settings.quickstart_file, self._quickstart)

    def lines(self, settings: "Settings") -> list[str]:
        """What to try."""
        from entrepot.compose.demo import snippets

        assert self._quickstart is not None
        return snippets(settings, self._quickstart)


def _started(urls: dict[str, str], only: str | None) -> str:
    """Where what was started is; of a part that has no address of its own its name."""
    name_of = {"gateway": "gateway", "control": "console"}
    if only is not None and only not in name_of:
        return only
    names = name_of.values() if only is None else (name_of[only],)
    return ", ".join(f"{name} {urls[name]}" for name in names)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
