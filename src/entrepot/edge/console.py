"""The console: a few pages for people, over the same books as the control API, behind the same token."""

from collections.abc import Callable, Sequence
from itertools import islice
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from entrepot.core.errors import EntrepotError, InvalidRequest, NotFound
from entrepot.core.periods import format_instant
from entrepot.edge.console_limits import limits_page
from entrepot.edge.console_markup import asset
from entrepot.edge.console_pages import (
    ROWS_SHOWN,
    Frame,
    Part,
    invoice_page,
    invoices_page,
    login_page,
    overview_page,
    quarantine_page,
    reconciled_part,
    refusal_page,
)
from entrepot.edge.control_api import OpenBooks, line_of, period_of_request
from entrepot.edge.error_bodies import shape_of
from entrepot.edge.sessions import Sessions
from entrepot.flows.render_invoice import RenderedInvoice
from entrepot.flows.show_limits import show_limits
from entrepot.flows.show_overview import show_overview
from entrepot.flows.weigh_budgets import show_budgets
from entrepot.ports.books import Books
from entrepot.ports.clock import Clock

_LOGIN_BYTES_MAX = 4096

# Nothing comes from elsewhere and nothing is scripted, so nothing else is allowed to be.
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-store",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
}

_DOCUMENT_DEFAULTS = (("format", "pdf"), ("language", "en"))
# What a document is allowed: its own looks, and nothing from elsewhere.
_DOCUMENT_HEADERS = {**_HEADERS, "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}

_TITLES: dict[type[EntrepotError], str] = {NotFound: "Not found", InvalidRequest: "Not understood"}

Page = Callable[[Request, Books, Frame], str]
# (books, number, form, language) -> the document of an invoice.
RenderInvoice = Callable[[Books, str, str, str], RenderedInvoice]


class Console:
    """The console's routes. parts: how the product's processes are, asked anew for each page."""

    def __init__(
        self,
        open_books: OpenBooks,
        sessions: Sessions,
        clock: Clock,
        parts: Callable[[], Sequence[Part]],
        render: RenderInvoice,
    ) -> None:
        self._open_books = open_books
        self._sessions = sessions
        self._clock = clock
        self._parts = parts
        self._render = render

    def routes(self) -> list[Route]:
        """Every page."""
        return [
            Route("/", self._page("/", self._overview)),
            Route("/limits", self._page("/limits", self._limits)),
            Route("/invoices", self._page("/invoices", self._invoices)),
            Route("/invoices/{number}", self._page("/invoices", self._invoice)),
            Route("/invoices/{number}/document", self._document),
            Route("/quarantine", self._page("/quarantine", self._quarantine)),
            Route("/login", self._log_in, methods=["GET", "POST"]),
            Route("/logout", self._log_out, methods=["POST"]),
            Route("/console/console.css", _asset("console.css", "text/css")),
            Route("/console/icon.svg", _asset("icon.svg", "image/svg+xml")),
        ]

    def no_page(self, request: Request) -> Response:
        """What there is to say at an address that has no page."""
        return self._page("", _nothing)(request)

    def _page(self, path: str, page: Page) -> Callable[[Request], Response]:
        """The page for those who may see it; the door for others."""

        def answer(request: Request) -> Response:
            if not self._sessions.is_open(request):
                return RedirectResponse("/login", 303, headers=_HEADERS)
            footer = f"Entrepôt, as of {format_instant(self._clock.now())[:19].replace('T', ' ')} UTC"
            frame = Frame("", path, footer)
            try:
                with self._open_books() as books:
                    declared = books.world()
                    frame = frame._replace(operator=declared[1].operator.name if declared else "")
                    return HTMLResponse(page(request, books, frame), headers=_HEADERS)
            except EntrepotError as error:
                title = _TITLES.get(type(error), "Not now")
                return HTMLResponse(refusal_page(frame, title, error.message), shape_of(error).status, headers=_HEADERS)

        return answer

    def _document(self, request: Request) -> Response:
        if not self._sessions.is_open(request):
            return RedirectResponse("/login", 303, headers=_HEADERS)
        form, language = (request.query_params.get(name, default) for name, default in _DOCUMENT_DEFAULTS)
        try:
            with self._open_books() as books:
                made = self._render(books, request.path_params["number"], form, language)
        except EntrepotError as error:
            frame = Frame("", "/invoices", "")
            page = refusal_page(frame, "Not to be had", error.message)
            return HTMLResponse(page, shape_of(error).status, headers=_HEADERS)
        headers = {**_DOCUMENT_HEADERS, "content-disposition": f'inline; filename="{made.file_name}"'}
        return Response(made.content, media_type=made.media_type, headers=headers)

    def _overview(self, _: Request, books: Books, frame: Frame) -> str:
        parts = [*self._parts(), *reconciled_part(books.reconciliations())]
        return overview_page(frame, show_overview(books, self._clock.now()), parts)

    def _limits(self, request: Request, books: Books, frame: Frame) -> str:
        now, customer = self._clock.now(), request.query_params.get("customer")
        with books.snapshot():
            return limits_page(frame, show_budgets(books, now, customer), show_limits(books, now), customer)

    def _invoices(self, request: Request, books: Books, frame: Frame) -> str:
        period, customer = period_of_request(request), request.query_params.get("customer")
        issued = [item for item in books.invoices(period) if customer in (None, item.customer)]
        return invoices_page(frame, issued, period, customer)

    def _invoice(self, request: Request, books: Books, frame: Frame) -> str:
        invoice = books.invoice(request.path_params["number"])
        wanted = request.query_params.get("line", "")
        if not wanted:
            return invoice_page(frame, invoice, None, ())
        line = line_of(invoice, wanted)
        behind = books.requests_of_line(invoice.number, line.number)
        return invoice_page(frame, invoice, line.number, islice(behind, ROWS_SHOWN))

    def _quarantine(self, _: Request, books: Books, frame: Frame) -> str:
        total = sum(books.usage_counts().quarantined.values())
        return quarantine_page(frame, books.quarantined(ROWS_SHOWN), total)

    async def _log_in(self, request: Request) -> Response:
        if request.method != "POST":
            return HTMLResponse(login_page(), headers=_HEADERS)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LOGIN_BYTES_MAX:
                return HTMLResponse(login_page("That is not the admin token."), 413, headers=_HEADERS)
        shown = parse_qs(body.decode(errors="replace")).get("token", [""])[0].strip()
        if not self._sessions.is_token(shown):
            return HTMLResponse(login_page("That is not the admin token."), 401, headers=_HEADERS)
        inside = RedirectResponse("/", 303, headers=_HEADERS)
        self._sessions.open(inside)
        return inside

    def _log_out(self, _: Request) -> Response:
        outside = RedirectResponse("/login", 303, headers=_HEADERS)
        self._sessions.close(outside)
        return outside


def _nothing(request: Request, _: Books, __: Frame) -> str:
    raise NotFound(f"There is no page {request.url.path}.")


def _asset(name: str, kind: str) -> Callable[[Request], Response]:
    content = asset(name)
    headers = {**_HEADERS, "cache-control": "max-age=300"}
    return lambda _: Response(content, media_type=kind, headers=headers)
