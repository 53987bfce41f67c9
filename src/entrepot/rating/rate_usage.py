"""What usage costs."""

from collections.abc import Callable

from entrepot.core.charges import Charge, Pool, Reading
from entrepot.core.periods import period_of
from entrepot.core.prices import Price
from entrepot.core.world import WorldIndex


class Rater:
    """Rates readings, or differences of readings, one after the other.

    Prices that depend on quantity are asked how much the month costs before and after a reading, so the sum over all
    readings of a month is what the month costs, in whatever order and in however many parts they come.
    pooled: {pool: the month's quantity} after the readings rated so far.
    """

    def __init__(self, terms: WorldIndex, before: Callable[[Pool], int | None] = lambda _: None) -> None:
        """before: the quantity of a pool that was rated earlier, if any."""
        self._terms = terms
        self._before = before
        self.pooled: dict[Pool, int] = {}

    def rate(self, reading: Reading) -> Charge:
        """The charge of a reading. Asserts that there is a price: usage without one never becomes a reading."""
        series = reading.series
        table = self._terms.agreed_prices(series.contract, series.price_version)
        price = table.price(series.model, reading.meter, series.tier, series.price_class)
        assert price is not None, f"{series.price_version} has no price for {reading.meter} of {series}"
        is_flat = price.mode == "flat"
        return Charge(
            series=series,
            meter=reading.meter,
            hour=reading.hour,
            quantity=reading.quantity,
            unit_pico=price.unit_pico if is_flat else None,
            amount_pico=price.cost_pico(reading.quantity) if is_flat else self._more_of(price, reading),
            priced_as=price.meter,
            price_class=price.price_class,
        )

    def _more_of(self, price: Price, reading: Reading) -> int:
        """What the month costs more with the reading than before it."""
        series = reading.series
        period = str(period_of(reading.hour, self._terms.contract(series.contract).zone))
        pool = Pool(
            series.contract, series.price_version, series.model, price.meter, series.tier, price.price_class, period
        )
        before = self.pooled.get(pool)
        if before is None:
            before = self._before(pool) or 0
        self.pooled[pool] = after = before + reading.quantity
        return price.cost_pico(after) - price.cost_pico(before)
