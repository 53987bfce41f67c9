"""What the gateway counts: buckets, sums, and a bound to how much there can be of it."""

from bisect import bisect_left

from entrepot.core.metrics import Labels, Metric, Report
from entrepot.edge import gateway_metrics as metrics
from entrepot.edge.gateway_metrics import OTHER, SERIES_MAX, Tally
from entrepot.edge.prometheus_text import written


def of(report: Report, metric: Metric) -> dict[Labels, list[int]]:
    [found] = [dict(measured.values) for measured in report if measured.metric == metric]
    return found


def tally() -> Tally:
    return Tally(lambda model: f"maker of {model}")


def end(counted: Tally, model: str = "m", *, error: str = "", took_us: int = 15_000) -> None:
    series = counted.ended("chat", model, "up", "stop", error, took_us)
    counted.settled(series, 500, {"input_tokens": 10, "cached_input_tokens": 7, "output_tokens": 3})


def test_a_request_is_in_the_bucket_of_its_duration_bounds_included() -> None:
    counted = tally()
    for took_us in (10_000, 10_001, 20_000, 10**9):
        end(counted, took_us=took_us)
    [(labels, numbers)] = of(counted.report(), metrics.DURATION).items()
    assert labels == ("chat", "m", "maker of m", "up", "")
    assert numbers == [1, 2, *[0] * 12, 1, 40_001 + 10**9]
    assert of(counted.report(), metrics.ENDED) == {("stop",): [4]}


def test_requests_that_alternate_are_counted_apart() -> None:
    counted = tally()
    kinds = [("chat", "m", "up"), ("chat", "m", "other"), ("chat", "n", "up"), ("completions", "m", "up")]
    for kind in [*kinds, *kinds, *[each for each in kinds for _ in range(2)]]:
        counted.ended(*kind, "stop", "", 1)
    found = of(counted.report(), metrics.DURATION)
    assert len(found) == len(kinds)
    assert {sum(numbers[:-1]) for numbers in found.values()} == {4}


def test_tokens_count_as_billed_on_their_two_sides() -> None:
    counted = tally()
    end(counted)
    found = of(counted.report(), metrics.TOKENS)
    assert {labels[-1]: numbers[-1] for labels, numbers in found.items()} == {"input": 17, "output": 3}
    assert found["chat", "m", "maker of m", "up", "output"][:3] == [0, 1, 0]


def test_pictures_are_no_tokens() -> None:
    counted = tally()
    series = counted.ended("chat", "m", "up", "stop", "", 1)
    assert counted.settled(series, 1, {"images": 2}) == 0
    assert all(not any(numbers) for numbers in of(counted.report(), metrics.TOKENS).values())


def test_a_stream_has_a_pace_once_it_has_two_tokens() -> None:
    counted = tally()
    series = counted.ended("chat", "m", "up", "stop", "", 1)
    counted.streamed(series, 30_000, 90_000, 1)
    assert of(counted.report(), metrics.PER_TOKEN) == {}
    counted.streamed(series, 30_000, 90_000, 10)
    [pace] = of(counted.report(), metrics.PER_TOKEN).values()
    assert (pace[0], pace[-1]) == (1, 10_000)
    [first] = of(counted.report(), metrics.FIRST_TOKEN).values()
    assert (sum(first[:-1]), first[-1]) == (2, 60_000)


def test_errors_have_durations_of_their_own() -> None:
    counted = tally()
    end(counted)
    end(counted, error="429")
    assert {labels[-1] for labels in of(counted.report(), metrics.DURATION)} == {"", "429"}


def test_there_are_never_more_series_than_was_said() -> None:
    counted = tally()
    for number in range(3 * SERIES_MAX):
        end(counted, f"m{number}")
        end(counted, "m0")
    found = of(counted.report(), metrics.DURATION)
    assert len(found) == SERIES_MAX + 1
    assert sum(found[OTHER, OTHER, OTHER, OTHER, ""][:-1]) == 2 * SERIES_MAX
    assert sum(found["chat", "m0", "maker of m0", "up", ""][:-1]) == 3 * SERIES_MAX + 1


def test_no_piece_of_a_full_scrape_is_long() -> None:
    counted = tally()
    for number in range(2 * SERIES_MAX):
        end(counted, f"m{number}")
    pieces = list(written(counted.report()))
    assert len(pieces) > 3 * SERIES_MAX
    assert max(map(len, pieces)) < 6_000


def test_buckets_that_are_found_by_doubling_are_those_that_are_told() -> None:
    for number in (0, 1, 2, 4, 5, 16, 17, 99, 100, 101, 10_000, 10_001, 4**13, 4**13 + 1, 10**12):
        counted = tally()
        series = counted.ended("chat", "m", "up", "stop", "", number)
        counted.settled(series, number, {"input_tokens": number})
        for metric in (metrics.DURATION, metrics.FLUSH_WAIT, metrics.TOKENS):
            for numbers in of(counted.report(), metric).values():
                if any(numbers[:-1]):
                    assert numbers.index(1) == bisect_left(metric.bounds, number), (metric.name, number)
