"""The control API: read-only views of the books as JSON, for whoever shows the admin token. See openapi.json."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from importlib import resources
from itertools import islice
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entrepot.core.errors import EntrepotError, InvalidRequest, NotFound
from entrepot.core.invoices import Invoice, InvoiceLine
from entrepot.core.money import format_pico
from entrepot.core.periods import DAY, Instant, format_instant, parse_instant, parse_period
from entrepot.core.usage_event import UsageEvent
from entrepot.edge.error_bodies import openai_error
from entrepot.edge.sessions import Sessions
from entrepot.flows.weigh_budgets import show_budgets
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock
from entrepot.reporting.concentration import concentration, revenues
from entrepot.reporting.retirements import retirements

ROWS_DEFAULT = 100
ROWS_MAX = 10_000

OpenBooks = Callable[[], AbstractContextManager[Books]]
View = Callable[[Request, Books], object]

_encoder = msgspec.json.Encoder()


class ControlApi:
    """The routes of the control API over the books, which are opened anew for each request."""

    def __init__(self, open_books: OpenBooks, sessions: Sessions, clock: Clock) -> None:
        self._open_books = open_books
        self._sessions = sessions
        self._clock = clock

    def routes(self) -> list[Route]:
        """Everything below /api."""
        return [
            Route("/api/openapi.json", self._description),
            Route("/api/v1/customers", self._guarded(self.customers)),
            Route("/api/v1/deployments", self._guarded(self.deployments)),
            Route("/api/v1/budgets", self._guarded(self.budgets)),
            Route("/api/v1/usage", self._guarded(self.usage)),
            Route("/api/v1/readings", self._guarded(self.readings)),
            Route("/api/v1/invoices", self._guarded(self.invoices)),
            Route("/api/v1/invoices/{number}", self._guarded(self.invoice)),
            Route("/api/v1/invoices/{number}/lines/{line}/requests", self._guarded(self.requests)),
            Route("/api/v1/ledger/balances", self._guarded(self.balances)),
            Route("/api/v1/quarantine", self._guarded(self.quarantine)),
            Route("/api/v1/reports/concentration", self._guarded(self.concentration)),
            Route("/api/v1/reports/retirements", self._guarded(self.retirements)),
        ]

    def _guarded(self, view: View) -> Callable[[Request], Response]:
        """The view for those who may see it, as JSON; an expected failure as its status and body."""

        def answer(request: Request) -> Response:
            try:
                self._sessions.require(request)
                with self._open_books() as books:
                    return json_response(view(request, books))
            except EntrepotError as error:
                return refusal(error)

        return answer

    def _description(self, _: Request) -> Response:
        body = resources.files(__package__).joinpath("openapi.json").read_bytes()
        return Response(body, media_type="application/json")

    def customers(self, _: Request, books: Books) -> object:
        """Declared customers."""
        declared = books.world()
        return _data(
            {
                "id": item.id,
                "name": item.name,
                "parent": item.parent or None,
                "market": item.market or None,
                "since": format_instant(item.since) if item.since else None,
            }
            for item in (declared[1].customers if declared else ())
        )

    def deployments(self, request: Request, books: Books) -> object:
        """Declared deployments, of one project with ?project=."""
        declared = books.world()
        project = request.query_params.get("project")
        return _data(item for item in (declared[1].deployments if declared else ()) if project in (None, item.project))

    def budgets(self, request: Request, books: Books) -> object:
        """Budgets with what is spent, held and left of them, of one customer with ?customer=."""
        customer, limit = request.query_params.get("customer"), _limit(request)
        return _data(show_budgets(books, self._clock.now(), customer)[:limit])

    def usage(self, request: Request, books: Books) -> object:
        """Usage events admitted in [since, until), by id; without both, the newest."""
        limit = _limit(request)
        if not {"since", "until"} & set(request.query_params):
            return _data(map(usage_document, books.newest_events(limit)))
        window = self._window(request)
        return _data_of(window, map(usage_document, islice(books.events(*window), limit)))

    def readings(self, request: Request, books: Books) -> object:
        """Readings of hours that start in [since, until); without both, from a day ago to a day ahead."""
        window = self._window(request)
        found = islice(books.readings(*window), _limit(request))
        return _data_of(
            window,
            (
                {
                    **msgspec.structs.asdict(item.series),
                    "meter": item.meter,
                    "hour": format_instant(item.hour),
                    "quantity": str(item.quantity),
                }
                for item in found
            ),
        )

    def invoices(self, request: Request, books: Books) -> object:
        """Issued invoices, of one period with ?period=."""
        return _data(books.invoices(period_of_request(request)))

    def invoice(self, request: Request, books: Books) -> object:
        """One invoice."""
        return books.invoice(request.path_params["number"])

    def requests(self, request: Request, books: Books) -> object:
        """The usage events behind a line of an invoice."""
        invoice = books.invoice(request.path_params["number"])
        line = line_of(invoice, request.path_params["line"])
        behind = books.requests_of_line(invoice.number, line.number)
        return _data(map(usage_document, islice(behind, _limit(request))))

    def balances(self, _: Request, books: Books) -> object:
        """The ledger's balances and the hash that vouches for them."""
        with books.snapshot():
            entries, root = books.root()
            return {
                "entries": entries,
                "root": f"sha256:{root}",
                "data": [
                    {"account": account, "currency": currency, "balance": format_pico(pico)}
                    for (account, currency), pico in sorted(books.balances().items())
                ],
            }

    def quarantine(self, request: Request, books: Books) -> object:
        """Usage that cannot be booked, and why."""
        found = books.quarantined(_limit(request))
        return _data({"kind": item.kind, "reason": item.reason, "event": usage_document(item.event)} for item in found)

    def concentration(self, request: Request, books: Books) -> object:
        """How much of a closed month's revenue hangs on whom, for each currency."""
        period = period_of_request(request)
        if period is None:
            raise InvalidRequest("name the month: ?period=2024-03", param="period")
        declared = books.world()
        at = parse_period(period).end("UTC") - 1
        customers = {item.id: item.at(at) for item in declared[1].customers} if declared else {}
        found = revenues(books.invoices(period), customers)
        return _data(concentration(parse_period(period), currency, found[currency]) for currency in sorted(found))

    def retirements(self, _: Request, books: Books) -> object:
        """Deployments of models that are not there for all and for good, and what becomes of them."""
        declared = books.world()
        return _data(retirements(declared[1], self._clock.now()) if declared else ())

    def _window(self, request: Request) -> tuple[Instant, Instant]:
        until = _instant(request, "until", self._clock.now() + DAY)
        since = _instant(request, "since", until - 2 * DAY)
        if since >= until:
            raise InvalidRequest(
                f"since ({format_instant(since)}) must be before until ({format_instant(until)})", param="since"
            )
        return since, until


def line_of(invoice: Invoice, number: str) -> InvoiceLine:
    """The line of this number, as it stands in an address. Raises: NotFound."""
    for line in invoice.lines:
        if str(line.number) == number:
            return line
    raise NotFound(f"invoice {invoice.number} has lines 1 to {len(invoice.lines)}, not {number}", param="line")


def usage_document(event: UsageEvent) -> dict[str, Any]:
    """A usage event as the JSON of a usage record, with what we know beyond it."""
    return {
        **msgspec.structs.asdict(event),
        "admitted_at": format_instant(event.admitted_at),
        "finished_at": format_instant(event.finished_at),
        "raw": msgspec.Raw(event.raw) if event.raw else None,
    }


def json_response(document: object, status: int = 200) -> Response:
    """The document as a response."""
    return Response(_encoder.encode(document), status, media_type="application/json")


def refusal(error: EntrepotError) -> Response:
    """The error with its status, in the body every route of ours uses."""
    answer = openai_error(error)
    return Response(answer.body, answer.status, media_type="application/json")


def _data(rows: Iterable[object]) -> dict[str, object]:
    return {"data": list(rows)}


def _data_of(window: tuple[Instant, Instant], rows: Iterable[object]) -> dict[str, object]:
    """Rows of a span of time, which is said with them."""
    since, until = window
    return {"since": format_instant(since), "until": format_instant(until), **_data(rows)}


def _instant(request: Request, name: str, default: Instant) -> Instant:
    text = request.query_params.get(name)
    try:
        return default if text is None else parse_instant(text)
    except ValueError as error:
        raise InvalidRequest(str(error), param=name) from None


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(ROWS_DEFAULT))
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(ROWS_MAX)) and 1 <= int(text) <= ROWS_MAX):
        raise InvalidRequest(f"limit must be a whole number from 1 to {ROWS_MAX}", param="limit")
    return int(text)


def period_of_request(request: Request) -> str | None:
    """The month that `period` asks for, or None without one. Raises: InvalidRequest."""
    text = request.query_params.get("period")
    try:
        return None if text is None else str(parse_period(text))
    except ValueError as error:
        raise InvalidRequest(str(error), param="period") from None
