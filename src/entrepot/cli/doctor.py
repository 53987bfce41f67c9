"""`entrepot doctor`: where each setting came from, and what stands in the way."""

import argparse
import logging
import os
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, settings_of, show, table
from entrepot.compose.settings import CONFIG, DEFINITIONS

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.compose.settings import Settings

_MADE = ("admin_token", "internal_token")
_MARKS = {"good": "ok", "warn": "note", "bad": "BAD"}


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `doctor`."""
    add_command(subparsers, "doctor", "show where each setting came from, and check what the product needs", _doctor)


def _doctor(args: argparse.Namespace) -> int:
    from entrepot.compose.diagnosis import diagnose

    logging.getLogger("entrepot").addHandler(logging.NullHandler())  # What is found is in the findings.
    settings = settings_of(args)
    findings = list(diagnose(settings, os.environ))
    shown = {item.name: _shown(settings, item.name, secret=item.secret) for item in DEFINITIONS}
    document = {
        "settings": {name: {"value": value, "source": settings.sources[name]} for name, value in shown.items()},
        "config": os.environ.get(CONFIG),
        "findings": findings,
    }
    lines = [
        *table(
            [("setting", "value", "from"), *((name, value, settings.sources[name]) for name, value in shown.items())]
        ),
        "",
        *table([(_MARKS[item.state], item.name, item.detail) for item in findings]),
    ]
    show(args, document, lines)
    return 1 if any(item.state == "bad" for item in findings) else 0


def _shown(settings: "Settings", name: str, *, secret: bool) -> str:
    value = getattr(settings, name)
    if value in (None, ""):
        return "(made at the first start)" if name in _MADE else "(none)"
    return "(set)" if secret else str(value)
