"""OpenAI's admin API of usage and costs, on the console's address: what an organization used, and what it cost.

An organization is a customer. Without the header `openai-organization` the answer is about all of them.
"""

import re
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entrepot.core.errors import EntrepotError, InvalidRequest
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, MINUTE, SECOND, Instant
from entrepot.core.world import index_of
from entrepot.edge.control_api import OpenBooks, json_response, refusal
from entrepot.edge.sessions import Sessions
from entrepot.exporting.organization import Asked, Bucket
from entrepot.exporting.organization_costs import COSTS_GROUPED_BY
from entrepot.exporting.organization_usage import PAGES, USAGE_KINDS, UsageKind
from entrepot.flows.tell_costs.organization import organization_costs
from entrepot.flows.tell_usage import organization_usage
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock

# {width: (how wide, buckets on a page, and at most)}. Source: OpenAI's OpenAPI description.
_WIDTHS: dict[str, tuple[Instant, int, int]] = {"1m": (MINUTE, 60, 1440), "1h": (HOUR, 24, 168), "1d": (DAY, 7, 31)}
_COST_WIDTHS = {"1d": (DAY, 7, 180)}
_CURSOR = re.compile(r"page_([0-9]{1,12})")

Tell = Callable[[Books, Asked], list[Bucket]]


class OrganizationApi:
    """The routes below /v1/organization, for whoever shows the admin token."""

    def __init__(self, open_books: OpenBooks, sessions: Sessions, clock: Clock) -> None:
        self._open_books = open_books
        self._sessions = sessions
        self._clock = clock

    def routes(self) -> list[Route]:
        """One for each page of usage, and the costs."""
        return [
            Route("/v1/organization/usage/{kind}", self._usage),
            Route("/v1/organization/costs", self._costs),
        ]

    def _usage(self, request: Request) -> Response:
        def told(books: Books, asked: Asked) -> list[Bucket]:
            return organization_usage(books, kind, asked)

        wanted = request.path_params["kind"]
        if wanted not in USAGE_KINDS:
            return refusal(InvalidRequest(f"usage is told of {', '.join(USAGE_KINDS)}, not of {wanted}", param="kind"))
        kind: UsageKind = wanted
        return self._page(request, _WIDTHS, PAGES[kind].group_by, told)

    def _costs(self, request: Request) -> Response:
        def told(books: Books, asked: Asked) -> list[Bucket]:
            return organization_costs(books, index_of(books.worlds()), asked)

        return self._page(request, _COST_WIDTHS, COSTS_GROUPED_BY, told)

    def _page(
        self, request: Request, widths: dict[str, tuple[Instant, int, int]], groups: Sequence[str], tell: Tell
    ) -> Response:
        try:
            self._sessions.require(request)
            asked, last = read_asked(request, widths, groups, self._clock.now())
            with self._open_books() as books, books.snapshot():
                buckets = tell(books, asked)
        except EntrepotError as error:
            return refusal(error)
        more = asked.until < last
        return json_response(
            {
                "object": "page",
                "data": [bucket.told() for bucket in buckets],
                "has_more": more,
                "next_page": f"page_{asked.until // SECOND}" if more else None,
            }
        )


def read_asked(
    request: Request, widths: dict[str, tuple[Instant, int, int]], groups: Sequence[str], now: Instant
) -> tuple[Asked, Instant]:
    """(what one page is about, where the last page ends). Both ends are widened to whole buckets.

    Raises: InvalidRequest.
    """
    width_name = _one(request, "bucket_width") or "1d"
    if width_name not in widths:
        raise InvalidRequest(f"bucket_width must be one of {', '.join(widths)}", param="bucket_width")
    width, limit_default, limit_max = widths[width_name]
    since = _instant(request, "start_time")
    if since is None:
        raise InvalidRequest("start_time is missing: seconds since 1970, UTC", param="start_time")
    until = _instant(request, "end_time")
    until = now if until is None else until
    if until <= since:
        raise InvalidRequest("end_time must be after start_time", param="end_time")
    begins, ends = since - since % width, until - until % -width
    limit = _number(request, "limit", limit_default)
    if not 1 <= limit <= limit_max:
        raise InvalidRequest(f"limit must be from 1 to {limit_max} for buckets of {width_name}", param="limit")
    begins = _continued(request, begins, width)
    batch = _one(request, "batch")
    return (
        Asked(
            since=begins,
            until=max(begins, min(ends, begins + limit * width)),
            width=width,
            group_by=_groups(request, groups),
            customer=request.headers.get("openai-organization"),
            projects=_several(request, "project_ids"),
            models=_several(request, "models"),
            keys=_several(request, "api_key_ids"),
            users=_several(request, "user_ids"),
            batch=None if batch is None else batch.lower() == "true",
        ),
        ends,
    )


def _continued(request: Request, begins: Instant, width: Instant) -> Instant:
    cursor = _one(request, "page")
    if cursor is None:
        return begins
    found = _CURSOR.fullmatch(cursor)
    if found is None or int(found[1]) * SECOND % width or int(found[1]) * SECOND < begins:
        raise InvalidRequest("page is the next_page of the answer before", param="page")
    return int(found[1]) * SECOND


def _groups(request: Request, known: Sequence[str]) -> tuple[str, ...]:
    wanted = _several(request, "group_by") or ()
    for name in wanted:
        if name not in known:
            raise InvalidRequest(f"group_by can be {', '.join(known)}, not {name}", param="group_by")
    return tuple(dict.fromkeys(wanted))


def _several(request: Request, name: str) -> tuple[str, ...] | None:
    """The values of a list, written as `name=a&name=b`, `name[]=a` or `name=a,b`; None where there is none."""
    given = [*request.query_params.getlist(name), *request.query_params.getlist(f"{name}[]")]
    values = tuple(value for text in given for value in text.split(",") if value)
    return values or None


def _one(request: Request, name: str) -> str | None:
    return request.query_params.get(name) or None


def _number(request: Request, name: str, default: int) -> int:
    text = _one(request, name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 12:
        raise InvalidRequest(f"{name} must be a whole number", param=name)
    return int(text)


def _instant(request: Request, name: str) -> Instant | None:
    at = _number(request, name, -1) * SECOND
    if at >= END_OF_TIME:
        raise InvalidRequest(f"{name} must be in seconds since 1970", param=name)
    return at if at >= 0 else None
