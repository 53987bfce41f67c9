"""What is asked of an organization's usage and costs, and the buckets that answer it, as OpenAI shapes them.

Source: OpenAI's OpenAPI description, version 2.3.0, UsageResponse and UsageTimeBucket.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from entrepot.core.charges import Series
from entrepot.core.periods import SECOND, Instant
from entrepot.core.tokens import BATCH_TIER
from entrepot.core.usage_event import UsageEvent


class Asked(NamedTuple):
    """Whole buckets of [since, until), and whose. None where anybody's will do.

    group_by: what results are told apart by. customer: OpenAI's organization.
    """

    since: Instant
    until: Instant
    width: Instant
    group_by: tuple[str, ...] = ()
    customer: str | None = None
    projects: Collection[str] | None = None
    models: Collection[str] | None = None
    keys: Collection[str] | None = None
    users: Collection[str] | None = None
    batch: bool | None = None

    def wants(self, series: Series) -> bool:
        """Whether a series is asked for."""
        return (
            self.customer in (None, series.customer)
            and (self.projects is None or series.project in self.projects)
            and (self.models is None or series.model in self.models)
            and (self.batch is None or self.batch == (series.tier == BATCH_TIER))
            and self.users is None  # No key of ours is a person's.
        )

    def wants_event(self, event: UsageEvent) -> bool:
        """Whether an event of a wanted series is."""
        return self.keys is None or event.key in self.keys

    def group_of(self, series: Series, key: str | None = None) -> tuple[object, ...]:
        """What sets a result apart from others of its bucket; None for what cannot be told."""
        known: Mapping[str, object] = {
            "project_id": series.project or None,
            "api_key_id": key or None,
            "model": series.model,
            "batch": series.tier == BATCH_TIER,
            "service_tier": series.tier,
        }
        return tuple(known.get(name) for name in self.group_by)


class Bucket(NamedTuple):
    """A bucket of time and its results, as they are sent."""

    begins: Instant
    ends: Instant
    results: list[dict[str, object]]

    def told(self) -> dict[str, object]:
        """The bucket as it is sent; times are whole seconds."""
        begins, ends = self.begins // SECOND, self.ends // SECOND
        return {"object": "bucket", "start_time": begins, "end_time": ends, "results": self.results}


def buckets_of(asked: Asked, results: Mapping[Instant, Sequence[dict[str, object]]]) -> Iterator[Bucket]:
    """Every bucket that is asked for, also those that nothing was used in. results: {its beginning: its results}."""
    for begins in range(asked.since, asked.until, asked.width):
        yield Bucket(begins, begins + asked.width, list(results.get(begins, ())))
