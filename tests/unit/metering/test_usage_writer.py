"""The records of a request, and who is told what became of them."""

from entrepot.core.log_records import Abandoned, Admitted, LogRecord, Progressed, UsageRecorded
from entrepot.metering.usage_writer import PROGRESS_STREAMS_MAX, RAW_BYTES_MAX, UsageWriter
from entrepot.ports.event_log import Settling, Told

ADMITTED = Admitted(
    id="e1",
    at=1_000,
    instance="i",
    customer="acme",
    project="search",
    deployment="chat",
    model="m",
    tier="default",
    upstream="up",
    key="key-1",
    prompt_tokens_estimate=5,
)


class Clock:
    def __init__(self, at: int) -> None:
        self.at = at

    def now(self) -> int:
        return self.at


class Log:
    """A usage sink that answers when told."""

    def __init__(self) -> None:
        self.available = True
        self.answers = True
        self.owed = 0
        self.appended: list[LogRecord] = []
        self.settling: list[tuple[LogRecord, Settling]] = []

    def append(self, record: LogRecord) -> None:
        self.appended.append(record)

    def settle(self, record: LogRecord, waiter: Settling) -> None:
        self.settling.append((record, waiter))


def settle(writer: UsageWriter, heard: list[str], raw: bytes = b"{}") -> None:
    writer.settle(
        ADMITTED,
        {"input_tokens": 3},
        source="reported",
        outcome="stop",
        raw=raw,
        waiter=Told(lambda: heard.append("done"), lambda: heard.append("failed")),
    )


def test_every_record_carries_the_request_and_no_time_before_it() -> None:
    log, clock = Log(), Clock(2_000)
    writer = UsageWriter(log, clock)
    writer.admit(ADMITTED)
    clock.at = 500  # The machine's clock was set back.
    writer.abandon(ADMITTED, "client_left", answered=True, output_tokens=9)
    assert log.appended == [ADMITTED, Abandoned("e1", 1_000, "client_left", True, 9, "default")]


def test_one_record_says_how_far_many_streams_have_come() -> None:
    log = Log()
    writer = UsageWriter(log, Clock(2_000))
    writer.progress([])
    assert log.appended == []
    writer.progress([("e1", 7), ("e2", 1), ("e3", 30)])
    assert log.appended == [Progressed("e1", 2_000, 7, (("e2", 1), ("e3", 30)))]
    log.appended.clear()
    streams = [(f"e{number}", number) for number in range(2 * PROGRESS_STREAMS_MAX + 1)]
    writer.progress(streams)
    records = [record for record in log.appended if isinstance(record, Progressed)]
    assert [pair for record in records for pair in ((record.id, record.output_tokens), *record.others)] == streams
    assert [len(record.others) + 1 for record in records] == [PROGRESS_STREAMS_MAX, PROGRESS_STREAMS_MAX, 1]


def test_usage_is_done_when_the_log_says_so() -> None:
    log, heard = Log(), list[str]()
    writer = UsageWriter(log, Clock(2_000))
    settle(writer, heard, raw=b"x" * (RAW_BYTES_MAX + 1))
    [(recorded, waiter)] = log.settling
    assert isinstance(recorded, UsageRecorded)
    event = recorded.event
    assert (event.id, event.admitted_at, event.finished_at, event.customer, event.key) == (
        "e1",
        1_000,
        2_000,
        "acme",
        "key-1",
    )
    assert (event.meters, event.upstream, len(event.raw)) == ({"input_tokens": 3}, "up", RAW_BYTES_MAX)
    assert heard == []
    waiter.settled()
    assert heard == ["done"]
    assert writer.settled == {"input_tokens": 3}


def test_usage_the_log_does_not_take_is_owed_by_it() -> None:
    log, heard = Log(), list[str]()
    writer = UsageWriter(log, Clock(2_000))
    settle(writer, heard)
    [(_, waiter)] = log.settling
    waiter.not_settled()
    log.owed = 1
    assert (heard, writer.owed) == (["failed"], 1)
    log.available = False
    assert not writer.available
