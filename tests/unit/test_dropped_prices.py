"""Prices that a world takes out although usage needs them: what was metered is rated, what comes after is not."""

from entrepot.core.log_records import MonthClosed
from entrepot.core.periods import HOUR
from tests.support.billing import APRIL, applied, folded, prices, recorded, usage, version, world

PRICES = prices(("m", "input_tokens", "1000"), ("m", "output_tokens", "2000"))  # 0.001 and 0.002 a token
WORLD = world(version(PRICES))
CLOSE = MonthClosed(at=APRIL + HOUR, period="2024-03")


def test_usage_that_came_just_before_its_price_went_is_rated_at_it() -> None:
    """A world is checked against usage before it is recorded, so usage may come in between."""
    tiered = world(version((*PRICES, *prices(("m", "input_tokens", "500"), tier="batch"))))
    before, after = usage("a", tier="batch"), usage("b", tier="batch")
    records = [applied(tiered), *recorded(before), applied(WORLD), *recorded(after), CLOSE]
    for batch in (1, 9):
        books = folded(*records, batch=batch)
        assert [(line.tier, line.quantity, line.unit_price) for line in books.invoice("2024-03-000001").lines] == [
            ("batch", "10", "0.0005")
        ]
        assert [item.event.id for item in books.quarantined()] == ["b"]


def test_a_part_without_its_own_price_any_more_is_rated_as_its_whole() -> None:
    parted = world(version((*PRICES, *prices(("m", "cached_input_tokens", "100")))))
    cached = usage("a", meters={"cached_input_tokens": 10})
    books = folded(applied(parted), applied(WORLD), *recorded(cached), CLOSE)
    assert books.invoice("2024-03-000001").lines[0].unit_price == "0.001"
