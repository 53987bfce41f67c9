"""`entrepot`: finds the command, runs it, and turns what went wrong into one clear line and an exit status."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from entrepot import __version__
from entrepot.compose.home import outer_fault
from entrepot.core.errors import EntrepotError

# Each is a module of this package whose add_commands(subparsers) adds its commands; help lists them in this order.
GROUPS = (
    "serve",
    "world",
    "key",
    "budget",
    "usage",
    "close",
    "settle",
    "statement",
    "reconcile",
    "price",
    "invoice",
    "ledger",
    "report",
    "capacity",
    "bill",
    "verify",
    "backup",
    "replay",
    "doctor",
)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit status: 0 done, 2 bad usage, 1 otherwise."""
    _open_closed_streams()
    try:
        args = parser().parse_args(argv)
        status: int = args.run(args)
        sys.stdout.flush()
    except EntrepotError as error:
        for line in error.message.splitlines():
            sys.stderr.write(f"entrepot: {line}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written to it any more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UnicodeEncodeError:
        sys.stderr.write("entrepot: this locale lacks letters that are needed here; set LC_ALL=C.UTF-8 and retry\n")
        return 1
    except Exception as error:
        fault = outer_fault(error)
        if not fault:
            raise
        sys.stderr.write(f"entrepot: {fault}\n")
        return 1
    return status


def _open_closed_streams() -> None:
    """Sends what was closed of stdin, stdout and stderr nowhere; else the next file opened would be in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - it stays open as long as the process


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    top = argparse.ArgumentParser(
        prog="entrepot", description="An open model cloud: sells AI models by the token, from request to invoice."
    )
    top.add_argument("--version", action="version", version=f"entrepot {__version__}")
    subparsers = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in GROUPS:
        importlib.import_module(f"entrepot.cli.{name}").add_commands(subparsers)
    return top
