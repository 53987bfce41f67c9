"""`entrepot apply`: declares the world of one or more world files."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from entrepot.cli.command import add_command, folding, progress, settings_of, show
from entrepot.core.errors import BadInput

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.world import Change, World
    from entrepot.flows.administer import Applied

_MARKS: "dict[Change, str]" = {"add": "+", "change": "~", "remove": "-"}


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `apply`."""
    parser = add_command(subparsers, "apply", "declare the world of world files; again changes nothing", _apply)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="WORLD.yaml", help="together they declare the whole world"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the difference and change nothing")


def read_world_files(paths: list[Path]) -> "World":
    """The world of the files. Raises: BadInput, WorldRejected."""
    from entrepot.provisioning.world_file import read_world

    return read_world([(str(path), _text(path)) for path in paths])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}", param=str(path)) from None
    except UnicodeDecodeError:
        raise BadInput(f"{path} is not UTF-8 text", param=str(path)) from None


def _apply(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_office
    from entrepot.compose.local_models import not_runnable
    from entrepot.flows.administer import apply_world

    world = read_world_files(args.files)
    with open_office(settings_of(args), folding) as office:
        applied = apply_world(office, world, dry_run=args.dry_run)
    progress("")
    applied = msgspec.structs.replace(applied, notes=(*applied.notes, *not_runnable(world)))
    show(args, {**_document(applied), "dry_run": args.dry_run}, _lines(applied, dry_run=args.dry_run))
    return 0


def _document(applied: "Applied") -> dict[str, object]:
    counts = {change: sum(item.change == change for item in applied.changes) for change in _MARKS}
    return {"world": applied.world, "counts": counts, "changes": applied.changes, "notes": applied.notes}


def _lines(applied: "Applied", *, dry_run: bool) -> Iterator[str]:
    for item in applied.changes:
        yield f"{_MARKS[item.change]} {item.kind} {item.id}"
        for detail in item.details:
            yield f"    {detail}"
    if not applied.changes:
        yield "nothing to change" + (f"; world {applied.world} is applied" if applied.world else "")
    elif dry_run:
        yield f"{_summary(applied)}; a dry run, nothing was changed"
    else:
        yield f"{_summary(applied)}; this is world {applied.world}"
    for note in applied.notes:
        yield f"note: {note}"


def _summary(applied: "Applied") -> str:
    kinds: dict[str, int] = {}
    for item in applied.changes:
        word = {"add": "added", "change": "changed", "remove": "removed"}[item.change]
        kinds[word] = kinds.get(word, 0) + 1
    return ", ".join(f"{count} {word}" for word, count in kinds.items())
