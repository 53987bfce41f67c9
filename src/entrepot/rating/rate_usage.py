"""What usage costs at flat prices."""

from entrepot.core.charges import Charge, Reading
from entrepot.core.prices import PriceTable


def rate(reading: Reading, prices: PriceTable) -> Charge:
    """The charge of a reading, or of a difference of readings, under the price version of its series.

    Asserts that there is a price: usage without one never becomes a reading.
    """
    series = reading.series
    assert prices.version == series.price_version, f"{prices.version} is not the version of {series}"
    unit_pico = prices.unit_pico(series.model, reading.meter, series.tier)
    assert unit_pico is not None, f"{series.price_version} has no price for {reading.meter} of {series}"
    return Charge(
        series=series,
        meter=reading.meter,
        hour=reading.hour,
        quantity=reading.quantity,
        unit_pico=unit_pico,
        amount_pico=reading.quantity * unit_pico,
        priced_as=prices.priced_as(series.model, reading.meter, series.tier),
    )
