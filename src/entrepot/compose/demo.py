"""The demo of `make run`: a world if there is none, a key for each customer, and the file that tells both."""

import os
import shlex
from pathlib import Path

import msgspec

from entrepot.compose.books import mint_key, open_office
from entrepot.compose.settings import Settings
from entrepot.compose.tokens import admin_token
from entrepot.core.errors import BadInput
from entrepot.core.identifiers import key_digest
from entrepot.core.periods import END_OF_TIME
from entrepot.core.world import World
from entrepot.flows.administer import Office, apply_world, issue_key
from entrepot.provisioning.world_file import read_world

WORLD_FILE = Path(__file__).resolve().parents[3] / "examples" / "demo" / "world.yaml"
_SNIPPETS = Path(__file__).with_name("try_it.txt")
_KEY_NAME = "demo"


class DemoCustomer(msgspec.Struct, frozen=True):
    """A customer of the demo with a key that works, and what the key can use."""

    name: str
    key: str
    deployments: tuple[str, ...]


class Quickstart(msgspec.Struct, frozen=True):
    """What a newcomer needs to try everything. It holds secrets: its file is for its owner only."""

    gateway: str
    console: str
    admin_token: str
    customers: tuple[DemoCustomer, ...]


def prepare_demo(settings: Settings) -> Quickstart:
    """What to tell a newcomer, once a data directory without a world has the demo world, and each customer a key.

    Keys that quickstart.json names stay as long as they are good. Raises: BadInput, UsageLogUnavailable.
    """
    known = {customer.name: customer.key for customer in _known_customers(settings)}
    with open_office(settings) as office:
        office.fold()
        if office.books.world() is None:
            apply_world(office, _demo_world())
        declared = office.books.world()
        assert declared is not None
        return Quickstart(
            gateway=settings.gateway_url,
            console=settings.console_address.url,
            admin_token=admin_token(settings),
            customers=_customers(office, declared[1], known),
        )


def write_quickstart(path: Path, quickstart: Quickstart) -> None:
    """Replaces the file, which only its owner can read."""
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(quickstart), indent=2) + b"\n")
    fresh.replace(path)


def snippets(settings: Settings, quickstart: Quickstart) -> list[str]:
    """Lines that show what to try: three ways to ask for the same, ready to paste."""
    if not quickstart.customers:
        return ["this world has no demo key; make one with `entrepot key create --project PROJECT`"]
    customer = quickstart.customers[0]
    text = _SNIPPETS.read_text()
    for name, value in (
        ("GATEWAY", quickstart.gateway),
        ("CONSOLE", quickstart.console),
        ("CUSTOMER", customer.name),
        ("KEY", customer.key),
        ("DEPLOYMENT", customer.deployments[0]),
        ("QUICKSTART", str(settings.quickstart_file)),
        ("HOME", "" if settings.sources["home"] == "default" else f" --home {shlex.quote(str(settings.home))}"),
    ):
        text = text.replace(f"<{name}>", value)
    return text.rstrip().splitlines()


def _demo_world() -> World:
    try:
        text = WORLD_FILE.read_text()
    except OSError as error:
        raise BadInput(
            f"the demo world {WORLD_FILE} cannot be read ({error.strerror}): the demo runs from a checkout; "
            "elsewhere apply a world file of your own and run `entrepot serve`"
        ) from None
    return read_world([(str(WORLD_FILE), text)])


def _known_customers(settings: Settings) -> tuple[DemoCustomer, ...]:
    try:
        return msgspec.json.decode(settings.quickstart_file.read_bytes(), type=Quickstart).customers
    except (FileNotFoundError, msgspec.DecodeError):
        return ()


def _customers(office: Office, world: World, known: dict[str, str]) -> tuple[DemoCustomer, ...]:
    """Each customer with a key, and the first of its projects that has deployments, those that chat before others.

    Customers of another world than the demo's get no key by themselves.
    """
    of_demo = {customer.id for customer in _demo_world().customers} if WORLD_FILE.exists() else set()
    chats = {model.id for model in world.models if "chat" in model.operations}
    offered = sorted(world.deployments, key=lambda item: item.model not in chats)
    customers = []
    for customer in world.customers:
        for project in world.projects:
            deployments = tuple(item.id for item in offered if item.project == project.id)
            if project.customer == customer.id and deployments:
                key = _key(office, project.id, known.get(customer.name, ""), make=customer.id in of_demo)
                if key:
                    customers.append(DemoCustomer(customer.name, key, deployments))
                break
    return tuple(customers)


def _key(office: Office, project: str, known: str, *, make: bool) -> str:
    """The known key if it is good, else a new one if it may be made, else nothing."""
    digest = key_digest(known)
    issued = office.books.keys()
    if any(key.digest == digest and key.project == project and key.revoked_at == END_OF_TIME for key in issued):
        return known
    if not make:
        return ""
    text, key_id = mint_key()
    issue_key(office, key=text, key_id=key_id, project=project, name=_KEY_NAME)
    return text
