"""What usage costs."""

from collections.abc import Callable

from entrepot.core.charges import Charge, Pool, Reading, Series
from entrepot.core.periods import period_of
from entrepot.core.prices import Price
from entrepot.core.provisioned import minutes_pico
from entrepot.core.terms import Reservation
from entrepot.core.tokens import COVERED_MINUTES, RESERVED_MINUTES, UNIT_HOURS, UNIT_MINUTES
from entrepot.core.world import WorldIndex

_BY_THE_MINUTE = frozenset({UNIT_MINUTES, COVERED_MINUTES, RESERVED_MINUTES})


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
        self._prices: dict[tuple[Series, str], Price] = {}

    def rate(self, reading: Reading) -> Charge:
        """The charge of a reading. Asserts that there is a price: usage without one never becomes a reading."""
        series = reading.series
        if reading.meter in _BY_THE_MINUTE:
            return self._rate_minutes(reading)
        price = self._prices.get((series, reading.meter)) or self._price(series, reading.meter)
        unit_pico, quantity = price.unit_pico, reading.quantity
        of = (series, reading.meter, reading.hour, quantity)
        if price.mode == "flat":
            return Charge(*of, unit_pico, quantity * unit_pico, price.meter, price.price_class)
        amount_pico = self._more_of(reading, price.meter, price.price_class, price.cost_pico)
        return Charge(*of, None, amount_pico, price.meter, price.price_class)

    def _price(self, series: Series, meter: str) -> Price:
        table = self._terms.agreed_prices(series.contract, series.price_version)
        price = table.price(series.model, meter, series.tier, series.price_class)
        assert price is not None, f"{series.price_version} has no price for {meter} of {series}"
        self._prices[series, meter] = price
        return price

    def _rate_minutes(self, reading: Reading) -> Charge:
        """Unit minutes at the price of an hour. The month's are counted together, and round once, to a pico."""
        hourly, price_class = self._hourly(reading)

        def cost_pico(minutes: int) -> int:
            return minutes_pico(minutes, hourly)

        return Charge(
            series=reading.series,
            meter=reading.meter,
            hour=reading.hour,
            quantity=reading.quantity,
            unit_pico=hourly,
            amount_pico=self._more_of(reading, reading.meter, price_class, cost_pico) if hourly else 0,
            priced_as=reading.meter,
            price_class=price_class,
        )

    def _hourly(self, reading: Reading) -> tuple[int, str]:
        """(the price of a unit hour in pico, the class it is for)."""
        series = reading.series
        if reading.meter == COVERED_MINUTES:
            return 0, series.price_class
        if reading.meter == RESERVED_MINUTES:
            reserved = (term for term in self._terms.contract(series.contract).terms if isinstance(term, Reservation))
            return next(term.each_hour_pico for term in reserved if term.id == series.price_class), series.price_class
        price = self._prices.get((series, UNIT_HOURS)) or self._price(series, UNIT_HOURS)
        return price.unit_pico, price.price_class

    def _more_of(self, reading: Reading, meter: str, price_class: str, cost_pico: Callable[[int], int]) -> int:
        """What the month costs more with the reading than before it."""
        zone = self._terms.contract(reading.series.contract).zone
        pool = pool_of(reading.series, meter, price_class, str(period_of(reading.hour, zone)))
        before = self.pooled.get(pool)
        if before is None:
            before = self._before(pool) or 0
        self.pooled[pool] = after = before + reading.quantity
        return cost_pico(after) - cost_pico(before)


def pool_of(series: Series, meter: str, price_class: str, period: str) -> Pool:
    """What usage of a series is counted together with. meter, price_class: of its price. period: its month."""
    return Pool(series.contract, series.price_version, series.model, meter, series.tier, price_class, period)
