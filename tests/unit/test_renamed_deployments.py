"""A deployment that is pointed elsewhere, or a project that changes hands, while requests are on their way."""

import pytest

from entrepot.core.log_records import MonthClosed
from entrepot.core.periods import HOUR
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from tests.support.billing import APRIL, admitted, applied, folded, prices, recorded, usage, version, world

PRICES = prices(*((model, meter, "1000") for model in ("m", "n", "o") for meter in ("input_tokens", "output_tokens")))
CLOSE = MonthClosed(at=APRIL + HOUR, period="2024-03")


def declared(model: str, customer: str = "acme") -> World:
    return world(
        version(PRICES),
        customers=["acme", "zeta"],
        projects=[Project(id="search", customer=customer)],
        deployments=[Deployment(id="chat", project="search", model=model)],
    )


@pytest.mark.parametrize("later", [declared("n"), declared("m", "zeta")])
@pytest.mark.parametrize("batch", [1, 9])
def test_what_was_admitted_before_is_billed_as_it_was_served(later: World, batch: int) -> None:
    books = folded(applied(declared("m")), admitted("a"), applied(later), *recorded(usage("a")), CLOSE, batch=batch)
    assert books.quarantined() == []
    (invoice,) = books.invoices()
    assert (invoice.customer, [line.model for line in invoice.lines]) == ("acme", ["m"])


@pytest.mark.parametrize("wrong", [usage("a", model="o"), usage("a", customer="zeta")])
def test_what_was_never_declared_so_is_a_mistake_still(wrong: UsageEvent) -> None:
    books = folded(applied(declared("m")), applied(declared("n")), *recorded(wrong), CLOSE)
    assert [item.kind for item in books.quarantined()] == ["unpriced"]
