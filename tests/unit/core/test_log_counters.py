"""What the log counts: each group once, in the bucket that it belongs to."""

from entrepot.core.log_counters import FAILURES, FLUSHES, GROUPS, SIZE, LogCounters


def test_nothing_is_counted_at_first() -> None:
    report = LogCounters().report()
    assert [measured.metric for measured in report] == [FLUSHES, GROUPS, SIZE, FAILURES]
    assert {number for measured in report for numbers in measured.values.values() for number in numbers} == {0}


def test_groups_are_counted_by_size_and_by_what_they_took() -> None:
    counters = LogCounters()
    counters.add(records=1, size=300, flush_us=25)
    counters.add(records=3, size=900, flush_us=26)
    counters.add(records=10_000, size=3_000_000, flush_us=10**9)
    counters.failures += 1
    assert counters.records == 10_004
    told = {measured.metric: measured.values[()] for measured in counters.report()}
    assert (told[SIZE], told[FAILURES]) == ([3_001_200], [1])
    assert [place for place, n in enumerate(told[FLUSHES][:-1]) if n] == [0, 1, len(FLUSHES.bounds)]
    assert [place for place, n in enumerate(told[GROUPS][:-1]) if n] == [0, 2, len(GROUPS.bounds)]
    assert (told[FLUSHES][-1], told[GROUPS][-1]) == (10**9 + 51, 10_004)


def test_a_report_does_not_change_any_more() -> None:
    counters = LogCounters()
    report = counters.report()
    counters.add(records=1, size=1, flush_us=1)
    assert report[0].values == {(): FLUSHES.zeros()}
