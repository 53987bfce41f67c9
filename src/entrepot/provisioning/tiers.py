"""At which tiers, beside the default one, a customer can use a model, and from when until when."""

from collections.abc import Iterator
from itertools import pairwise

from entrepot.core.catalog import Model
from entrepot.core.periods import END_OF_TIME, Instant
from entrepot.core.prices import PriceTable
from entrepot.core.snapshot import Window
from entrepot.core.tenancy import Contract
from entrepot.core.tokens import TIERS
from entrepot.core.world import WorldIndex
from entrepot.provisioning.checks import unpriced


def offered_tiers(index: WorldIndex, customer: str, model: Model) -> dict[str, tuple[Window, ...]]:
    """{tier: when the customer's contract in force has a price for all that the model is counted in}."""
    priced = [found for contract in index.contracts_of(customer) for found in _prices(index, contract)]
    offered = {
        tier: _joined(window for window, table in priced if not _lacks(table, model, tier))
        for tier in TIERS
        if tier != "default"
    }
    return {tier: windows for tier, windows in offered.items() if windows}


def _prices(index: WorldIndex, contract: Contract) -> Iterator[tuple[Window, PriceTable]]:
    """The contract's price tables, each with the time it is in force."""
    versions = index.price_versions(contract.price_book, contract.zone)
    starts: list[Instant] = [begins for begins, _ in versions]
    for (_, version), (begins, ends) in zip(versions, pairwise([*starts, END_OF_TIME]), strict=True):
        window = (max(begins, contract.effective_from), min(ends, contract.effective_to))
        if window[0] < window[1]:
            yield window, index.prices(version.id)


def _lacks(table: PriceTable, model: Model, tier: str) -> str:
    return unpriced(model, lambda meter: table.price(model.id, meter, tier) is not None)


def _joined(windows: Iterator[Window]) -> tuple[Window, ...]:
    """The windows in order, those that touch as one."""
    joined: list[Window] = []
    for begins, ends in sorted(windows):
        if joined and joined[-1][1] == begins:
            joined[-1] = (joined[-1][0], ends)
        else:
            joined.append((begins, ends))
    return tuple(joined)
