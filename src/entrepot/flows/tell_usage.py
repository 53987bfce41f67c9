"""What an organization used, as OpenAI's usage pages tell it: from readings, or from requests where these must tell."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from entrepot.core.charges import Series
from entrepot.core.periods import HOUR, Instant
from entrepot.core.world import World
from entrepot.exporting.organization import Asked, Bucket, buckets_of
from entrepot.exporting.organization_usage import PAGES, UsageKind, kind_of, sums_of
from entrepot.ports.books import Books

# Of requests that used a tool, how many there were, hours do not say.
_COUNTED_BY_REQUEST: tuple[UsageKind, ...] = ("web_search_calls",)


class _Used(NamedTuple):
    begins: Instant
    series: Series
    key: str | None
    meters: Mapping[str, int]
    requests: int


def organization_usage(books: Books, kind: UsageKind, asked: Asked) -> list[Bucket]:
    """Every bucket asked for, with a result for each group that used something the page is about."""
    declared = books.world()
    page, operations = PAGES[kind], _operations(declared[1] if declared else None)
    meters: dict[tuple[Instant, tuple[object, ...]], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    requests: dict[tuple[Instant, tuple[object, ...]], int] = defaultdict(int)
    for used in _by_request(books, asked) if _needs_requests(kind, asked) else _by_hour(books, asked):
        of_model = operations.get(used.series.model, ())
        about = {meter: count for meter, count in used.meters.items() if kind_of(meter, of_model) == kind}
        if about:
            place = (used.begins, asked.group_of(used.series, used.key))
            requests[place] += used.requests
            for meter, quantity in about.items():
                meters[place][meter] += quantity
    results: dict[Instant, list[dict[str, object]]] = defaultdict(list)
    for begins, group in sorted(meters, key=repr):
        sums = sums_of(kind, meters[begins, group], requests[begins, group])
        grouped = dict.fromkeys(page.group_by) | dict(zip(asked.group_by, group, strict=True))
        results[begins].append({"object": page.result, **sums, **grouped})
    return list(buckets_of(asked, results))


def _operations(world: World | None) -> dict[str, tuple[str, ...]]:
    return {model.id: model.operations for model in world.models} if world else {}


def _needs_requests(kind: UsageKind, asked: Asked) -> bool:
    return asked.width < HOUR or asked.keys is not None or "api_key_id" in asked.group_by or kind in _COUNTED_BY_REQUEST


def _by_hour(books: Books, asked: Asked) -> Iterator[_Used]:
    for used in books.usage_by_bucket(asked.since, asked.until, asked.width, asked.wants):
        yield _Used(used.begins, used.series, None, used.meters, used.events)


def _by_request(books: Books, asked: Asked) -> Iterator[_Used]:
    for series, event in books.events_in(asked.since, asked.until, asked.wants):
        if asked.wants_event(event):
            begins = event.admitted_at - event.admitted_at % asked.width
            yield _Used(begins, series, event.key, event.meters, 1)
