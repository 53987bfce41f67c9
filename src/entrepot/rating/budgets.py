"""What budgets have spent, by the prices that the ledger accrues at."""

from collections import Counter
from collections.abc import Collection, Iterable

from entrepot.core.charges import Pool
from entrepot.core.prices import Price
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.world import WorldIndex
from entrepot.ports.budgets import MonthlyUse
from entrepot.rating.rate_usage import pool_of

Owner = tuple[str, str]  # Of usage: ("project", its id), ("key", its id), or ("customer", "").

EVERYBODY: Owner = ("customer", "")


class _Pooled:
    """Usage at one price that depends on the month's quantity, by owner."""

    def __init__(self, price: Price) -> None:
        self._price = price
        self.units: Counter[Owner] = Counter()

    def share(self, owners: Collection[Owner]) -> int:
        """What is paid for a part of a month: its part of the whole by quantity, rounded up to a pico."""
        total, own = self.units[EVERYBODY], sum(self.units.get(owner, 0) for owner in owners)
        if not total:  # What corrections have taken back to nothing is nobody's.
            return 0
        return -(-self._price.cost_pico(total) * own // total)


class Spending:
    """What a customer's usage in whole months comes to, by who used it: added up once, however many ask.

    uses: everything of the customer's.
    """

    def __init__(self, terms: WorldIndex, uses: Iterable[MonthlyUse]) -> None:
        self._tokens: Counter[Owner] = Counter()
        self._pico: Counter[Owner] = Counter()
        self._pools: dict[Pool, _Pooled] = {}
        for use in uses:
            self._add(terms, use, (EVERYBODY, ("project", use.series.project), ("key", use.key)))

    def tokens(self, owners: Collection[Owner]) -> int:
        """The tokens that these used."""
        return sum(self._tokens.get(owner, 0) for owner in owners)

    def pico(self, owners: Collection[Owner]) -> int:
        """What these used, in pico."""
        flat = sum(self._pico.get(owner, 0) for owner in owners)
        return flat + sum(pooled.share(owners) for pooled in self._pools.values())

    def _add(self, terms: WorldIndex, use: MonthlyUse, owners: Collection[Owner]) -> None:
        series = use.series
        table = terms.agreed_prices(series.contract, series.price_version)
        price = table.price(series.model, use.meter, series.tier, series.price_class)
        assert price is not None, f"{series.price_version} has no price for {use.meter} of {series}"
        cost = price.cost_pico(use.quantity) if price.mode == "flat" else 0
        pooled = None if price.mode == "flat" else self._pool(use, price)
        for owner in owners:
            if use.meter in TOKEN_METERS:
                self._tokens[owner] += use.quantity
            if pooled is None:
                self._pico[owner] += cost
            else:
                pooled.units[owner] += use.quantity

    def _pool(self, use: MonthlyUse, price: Price) -> _Pooled:
        pool = pool_of(use.series, price.meter, price.price_class, use.period)
        found = self._pools.get(pool)
        if found is None:
            found = self._pools[pool] = _Pooled(price)
        return found
