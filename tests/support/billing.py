"""Small worlds and usage for tests of the books."""

from collections.abc import Sequence

from entrepot.core.catalog import Model, Partner, Upstream
from entrepot.core.money import Rounding
from entrepot.core.periods import END_OF_TIME, Instant, parse_instant
from entrepot.core.prices import Price, PriceBookVersion, unit_price
from entrepot.core.tenancy import Contract, Customer, Deployment, Project
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import Operator, World

MARCH = parse_instant("2024-03-01")
APRIL = parse_instant("2024-04-01")


def prices(*rows: tuple[str, str, str], tier: str = "default") -> tuple[Price, ...]:
    """Prices from (model, meter, per million)."""
    return tuple(Price(model, meter, tier, unit_price(text, "per_million")) for model, meter, text in rows)


def version(rows: Sequence[Price], begins: str = "2024-01-01", book: str = "list") -> PriceBookVersion:
    """A version of a book that begins at 00:00 UTC of a date."""
    return PriceBookVersion(f"{book}@{begins}", book, parse_instant(begins), tuple(rows))


def contract(customer: str, **changes: object) -> Contract:
    """A contract on the book "list" in USD and UTC since 2024, with changes."""
    fields: dict[str, object] = {
        "customer": customer,
        "effective_from": parse_instant("2024-01-01"),
        "effective_to": END_OF_TIME,
        "price_book": "list",
        "currency": "USD",
        "zone": "UTC",
        **changes,
    }
    fields.setdefault("id", f"{customer}@2024-01-01")
    return Contract(**fields)  # type: ignore[arg-type]


def world(
    *versions: PriceBookVersion,
    contracts: Sequence[Contract] = (),
    customers: Sequence[str] = ("acme",),
    projects: Sequence[Project] = (),
    deployments: Sequence[Deployment] = (),
    upstreams: Sequence[Upstream] = (),
    rounding: Rounding = "half_up",
) -> World:
    """A world of customers with a contract each, unless other contracts are given."""
    return World(
        operator=Operator(name="Contoso Cloud", currency="USD", rounding=rounding),
        partners=(Partner(id="own", name="Contoso"),),
        models=(Model(id="m", version="1", partner="own", context_tokens=8192, stage="general"),),
        upstreams=tuple(upstreams),
        price_books=tuple(versions),
        customers=tuple(Customer(id=name, name=name.title()) for name in customers),
        contracts=tuple(contracts) or tuple(contract(name) for name in customers),
        projects=tuple(projects),
        deployments=tuple(deployments),
    )


def usage(event_id: str, at: Instant | str = MARCH, **changes: object) -> UsageEvent:
    """Ten input tokens of customer acme on model m, with changes; one second long."""
    admitted_at = parse_instant(at) if isinstance(at, str) else at
    fields: dict[str, object] = {
        "id": event_id,
        "admitted_at": admitted_at,
        "finished_at": admitted_at + 1_000_000,
        "customer": "acme",
        "project": "search",
        "deployment": "chat",
        "model": "m",
        "tier": "default",
        "meters": {"input_tokens": 10},
        **changes,
    }
    return UsageEvent(**fields)  # type: ignore[arg-type]
