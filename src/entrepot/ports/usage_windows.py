"""What was used in spans of time: a part of the books that costs as much as the span holds."""

from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from entrepot.core.charges import Series
from entrepot.core.periods import Instant
from entrepot.core.usage_event import UsageEvent


class BucketUsage(msgspec.Struct, frozen=True, gc=False):
    """What a series used in a bucket of time: units by meter, and how many usage events they come from."""

    series: Series
    begins: Instant
    meters: dict[str, int]
    events: int


class UsageWindows(Protocol):
    """Spans of time, of the series that are wanted."""

    def usage_by_bucket(
        self, since: Instant, until: Instant, width: Instant, wanted: Callable[[Series], bool]
    ) -> Iterator[BucketUsage]:
        """What wanted series used in each bucket of [since, until), by bucket.

        since, until and width are whole hours, and buckets are counted from the epoch. It reads the readings of these
        hours and, where few series are wanted, only theirs.
        """
        ...

    def events_in(
        self, since: Instant, until: Instant, wanted: Callable[[Series], bool]
    ) -> Iterator[tuple[Series, UsageEvent]]:
        """The usage events of wanted series admitted in [since, until), in no order."""
        ...
