"""Events into readings, and up to when readings are complete."""

import msgspec

from entrepot.core.periods import HOUR
from entrepot.metering.aggregate import increments, summed
from entrepot.metering.completeness import complete_hours, watermark
from entrepot.ports.books import MeteredUsage
from tests.support.billing import MARCH, SERIES, usage


def test_events_add_up_by_series_meter_and_hour() -> None:
    other = msgspec.structs.replace(SERIES, deployment="other")
    metered = [
        MeteredUsage(SERIES, MARCH, usage("a", meters={"input_tokens": 1, "output_tokens": 5})),
        MeteredUsage(SERIES, MARCH, usage("b", meters={"input_tokens": 2})),
        MeteredUsage(SERIES, MARCH + HOUR, usage("c", meters={"input_tokens": 4})),
        MeteredUsage(other, MARCH, usage("d", meters={"input_tokens": 8, "images": 0})),
    ]
    assert increments(summed(metered)) == {
        (SERIES, "input_tokens", MARCH): 3,
        (SERIES, "output_tokens", MARCH): 5,
        (SERIES, "input_tokens", MARCH + HOUR): 4,
        (other, "input_tokens", MARCH): 8,
    }


def test_usage_is_complete_up_to_the_oldest_open_request() -> None:
    assert watermark(MARCH, None) == MARCH
    assert watermark(MARCH, MARCH - 5) == MARCH - 5
    assert watermark(MARCH, MARCH + 5) == MARCH


def test_an_hour_is_complete_when_the_mark_has_reached_its_end() -> None:
    assert complete_hours(MARCH + HOUR) > MARCH
    assert complete_hours(MARCH + HOUR - 1) <= MARCH
