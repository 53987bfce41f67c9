"""What budgets have spent, by the prices that the ledger accrues at."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from entrepot.core.charges import Pool
from entrepot.core.prices import Price
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.world import WorldIndex
from entrepot.ports.budgets import MonthlyUse

IsOwn = Callable[[MonthlyUse], bool]


class _Pooled(NamedTuple):
    """Usage at one price that depends on the month's quantity: everybody's, and what counts here."""

    price: Price
    total: int
    own: int

    def share(self) -> int:
        """What is paid for one's own part of a month: its part of the whole by quantity, rounded up to a pico."""
        if self.total == 0:
            return 0
        return -(-self.price.cost_pico(self.total) * self.own // self.total)


def spent_pico(terms: WorldIndex, uses: Iterable[MonthlyUse], is_own: IsOwn) -> int:
    """What of a customer's usage, in whole months, counts here, in pico. uses: everything of the customer's."""
    spent = 0
    pools: dict[Pool, _Pooled] = {}
    for use in uses:
        series = use.series
        table = terms.agreed_prices(series.contract, series.price_version)
        price = table.price(series.model, use.meter, series.tier, series.price_class)
        assert price is not None, f"{series.price_version} has no price for {use.meter} of {series}"
        own = use.quantity if is_own(use) else 0
        if price.mode == "flat":
            spent += price.cost_pico(own)
            continue
        pool = Pool(
            series.contract, series.price_version, series.model, price.meter, series.tier, price.price_class, use.period
        )
        before = pools.get(pool)
        total, known = (before.total, before.own) if before else (0, 0)
        pools[pool] = _Pooled(price, total + use.quantity, known + own)
    return spent + sum(pooled.share() for pooled in pools.values())


def spent_tokens(uses: Iterable[MonthlyUse], is_own: IsOwn) -> int:
    """The tokens of the usage that counts here."""
    return sum(use.quantity for use in uses if use.meter in TOKEN_METERS and is_own(use))
