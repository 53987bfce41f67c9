"""Log records for tests of the log: small, distinct, told apart by a number."""

from entrepot.core.log_records import Admitted, LogRecord, Progressed, UsageRecorded
from entrepot.core.usage_event import UsageEvent


def numbered(number: int) -> LogRecord:
    """A small record that holds the number."""
    return Progressed(id=f"{number:08d}", at=number, output_tokens=1)


def number_of(record: LogRecord) -> int:
    """The number of a numbered record."""
    assert isinstance(record, Progressed)
    return record.at


def admitted(number: int, instance: str) -> Admitted:
    """An admitted request of an instance."""
    return Admitted(
        id=f"{number:032x}",
        at=number,
        instance=instance,
        customer="tiktok",
        project="search",
        deployment="chat",
        model="gpt-4",
        tier="default",
        upstream="azure-east",
        key="ek-1",
        prompt_tokens_estimate=812,
    )


def usage(number: int) -> UsageRecorded:
    """A usage record of the usual size, with the upstream's own usage object in it."""
    raw = (
        b'{"prompt_tokens":812,"completion_tokens":144,"total_tokens":956,"prompt_tokens_details":{"cached_tokens":0}}'
    )
    return UsageRecorded(
        UsageEvent(
            id=f"{number:032x}",
            admitted_at=1_709_625_600_000_000 + number,
            finished_at=1_709_625_602_000_000 + number,
            customer="tiktok",
            project="search",
            deployment="chat",
            model="gpt-4",
            tier="default",
            meters={"input_tokens": 812, "output_tokens": 144},
            outcome="stop",
            upstream="azure-east",
            key="ek-1",
            raw=raw,
        )
    )
