"""`entrepot key …`: the API keys of projects. A key is shown once, when it is made; only its digest is kept."""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from entrepot.cli.command import add_command, add_group, settings_of, show, table
from entrepot.core.periods import END_OF_TIME, format_instant

if TYPE_CHECKING:
    from entrepot.cli.command import Subparsers
    from entrepot.core.tenancy import ApiKey


def add_commands(subparsers: "Subparsers") -> None:
    """Adds `key create`, `key rotate`, `key revoke` and `key list`."""
    group = add_group(subparsers, "key", "make, replace, revoke and list API keys")
    create = add_command(group, "create", "make a key of a project and show it, this once", _create)
    create.add_argument("--project", required=True, help="whose deployments the key can use")
    create.add_argument("--name", default="", help="what the key is for")
    create.add_argument(
        "--budget", default="", metavar="B", help='what may be spent: "monthly=100", "total=9000 tokens"'
    )
    rotate = add_command(group, "rotate", "revoke a key and show another one in its place, this once", _rotate)
    rotate.add_argument("id", help="of the key to replace, as `key list` shows it")
    revoke = add_command(group, "revoke", "make a key good for nothing", _revoke)
    revoke.add_argument("id", help="of the key, as `key list` shows it")
    listing = add_command(group, "list", "list the keys, without the keys themselves", _list)
    listing.add_argument("--project", help="only those of a project")


def _create(args: argparse.Namespace) -> int:
    from entrepot.compose.books import mint_key, open_office
    from entrepot.flows.administer import issue_key
    from entrepot.provisioning.budgets import parse_budget

    key, key_id = mint_key()
    budget = parse_budget(args.budget) if args.budget else None
    with open_office(settings_of(args)) as office:
        record = issue_key(office, key=key, key_id=key_id, project=args.project, name=args.name, budget=budget)
    return _show_new(args, record, key)


def _rotate(args: argparse.Namespace) -> int:
    from entrepot.compose.books import mint_key, open_office
    from entrepot.flows.administer import rotate_key

    key, key_id = mint_key()
    with open_office(settings_of(args)) as office:
        record = rotate_key(office, args.id, key=key, key_id=key_id)
    return _show_new(args, record, key, replaces=args.id)


def _revoke(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_office
    from entrepot.flows.administer import revoke_key

    with open_office(settings_of(args)) as office:
        record = revoke_key(office, args.id)
    show(args, _document(record), [f"{record.id} of project {record.project} is revoked"])
    return 0


def _list(args: argparse.Namespace) -> int:
    from entrepot.compose.books import open_current_books

    with open_current_books(settings_of(args)) as books:
        keys = [key for key in books.keys() if args.project in (None, key.project)]  # noqa: SIM118 - no dict
    show(args, {"keys": [_document(key) for key in keys]}, _lines(keys))
    return 0


def _show_new(args: argparse.Namespace, record: "ApiKey", key: str, replaces: str | None = None) -> int:
    document = {**_document(record), "key": key}
    lines = [key, f"{record.id} of project {record.project}; the key is not shown again"]
    if replaces is not None:
        document["replaces"] = replaces
        lines.append(f"{replaces} is revoked")
    show(args, document, lines)
    return 0


def _document(key: "ApiKey") -> dict[str, object]:
    revoked = key.revoked_at != END_OF_TIME
    return {
        "id": key.id,
        "project": key.project,
        "name": key.name,
        "created_at": format_instant(key.created_at),
        "revoked_at": format_instant(key.revoked_at) if revoked else None,
        "budget": str(key.budget) if key.budget else None,
    }


def _lines(keys: "list[ApiKey]") -> Iterator[str]:
    if not keys:
        yield "no keys; make one with `entrepot key create --project PROJECT`"
        return
    rows = [("id", "project", "name", "created", "state")]
    for key in keys:
        state = "good" if key.revoked_at == END_OF_TIME else f"revoked {format_instant(key.revoked_at)[:10]}"
        rows.append((key.id, key.project, key.name, format_instant(key.created_at)[:10], state))
    yield from table(rows)
