"""What the writer of the usage log counts, and under which names it is told."""

from bisect import bisect_left

from entrepot.core.metrics import Measured, Metric, Report, alone

FLUSHES = Metric(
    "entrepot_log_flush_seconds",
    "histogram",
    "What it took to make a group of records durable.",
    unit="s",
    per=1_000_000,
    bounds=tuple(25 * 2**n for n in range(18)),
)
GROUPS = Metric(
    "entrepot_log_group_records",
    "histogram",
    "Records made durable together.",
    unit="{record}",
    bounds=tuple(2**n for n in range(13)),
)
SIZE = Metric("entrepot_log_bytes_total", "counter", "Bytes that the log has grown by.")
FAILURES = Metric("entrepot_log_failures_total", "counter", "Writes, flushes and new segments that the disk refused.")


class LogCounters:
    """What has been done since the log was opened. flushes in µs, groups in records: as core.metrics."""

    __slots__ = ("failures", "flushes", "groups", "size_bytes")

    def __init__(self) -> None:
        self.size_bytes = 0
        self.failures = 0
        self.flushes = FLUSHES.zeros()
        self.groups = GROUPS.zeros()

    @property
    def records(self) -> int:
        """How many records are durable."""
        return self.groups[-1]

    def add(self, records: int, size: int, flush_us: int) -> None:
        """Counts one durable group."""
        self.size_bytes += size
        self.flushes[bisect_left(FLUSHES.bounds, flush_us)] += 1
        self.flushes[-1] += flush_us
        self.groups[bisect_left(GROUPS.bounds, records)] += 1
        self.groups[-1] += records

    def report(self) -> Report:
        """Everything counted here."""
        return (
            Measured(FLUSHES, {(): list(self.flushes)}),
            Measured(GROUPS, {(): list(self.groups)}),
            alone(SIZE, self.size_bytes),
            alone(FAILURES, self.failures),
        )
