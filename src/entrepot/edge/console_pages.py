"""The console's pages: values in, HTML out. Everything that is not markup of our own is escaped."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import islice
from typing import NamedTuple
from urllib.parse import quote

from entrepot.core.invoices import Invoice
from entrepot.core.log_records import Reconciled
from entrepot.core.money import parse_pico
from entrepot.core.periods import format_instant
from entrepot.core.usage_event import UsageEvent
from entrepot.edge.console_markup import badge, bar, columns, fill, moment, money, name, shown, spaced, table, tile
from entrepot.flows.render_invoice import DOCUMENT_LANGUAGES
from entrepot.flows.show_overview import CustomerRevenue, DeploymentTokens, LatestRequest, Overview
from entrepot.ports.books import Quarantined

ROWS_SHOWN = 200
ROWS_OF_OVERVIEW = 20
_REFRESH_S = 15
_PAGES = (("/", "Overview"), ("/limits", "Limits"), ("/invoices", "Invoices"), ("/quarantine", "Quarantine"))
_GOOD_OUTCOMES = {"stop", "length", "tool_calls", "imported"}


class Part(NamedTuple):
    """A part of the product and how it is."""

    name: str
    good: bool
    detail: str


class Frame(NamedTuple):
    """What every page shows around its body. path: of the page among the pages of the navigation."""

    operator: str
    path: str
    footer: str


def reconciled_part(kept: Sequence[Reconciled]) -> Iterator[Part]:
    """Whether log, store, readings, ledger and invoices agree, once a day was reconciled; the first incident else."""
    for record in kept:
        for fault in record.faults:
            yield Part("counts", good=False, detail=f"{format_instant(record.since)[:10]}: {fault}")
            return
    if kept:
        yield Part("counts", good=True, detail=f"agree until {format_instant(kept[-1].until)[:10]}")


def login_page(fault: str = "") -> str:
    """The door."""
    said = f'<p class="fault" role="alert">{escape(fault)}</p>' if fault else ""
    return fill("login.html", fault=said)


def overview_page(frame: Frame, overview: Overview, parts: Sequence[Part]) -> str:
    """The overview, which reloads itself."""
    body = fill(
        "overview.html",
        tiles="".join(_tiles(overview)),
        revenue_note="before tax, accrued or not",
        revenue_shown=shown(ROWS_OF_OVERVIEW, overview.revenue),
        revenue=_revenue(overview.revenue),
        health=_health(parts),
        deployments=_deployments(overview.deployments),
        deployments_shown=shown(ROWS_OF_OVERVIEW, overview.deployments),
        requests=_requests(overview.requests),
    )
    return page(frame, "Overview", body, refresh=True)


def invoices_page(frame: Frame, invoices: Sequence[Invoice], period: str | None, customer: str | None) -> str:
    """Issued invoices, the newest first. invoices: already of the period and the customer alone, where one is named."""
    rows = [
        (
            f'<a href="/invoices/{escape(item.number)}">{escape(item.number)}</a>',
            f'<a href="/invoices?period={item.period}">{item.period}</a>',
            f'<a href="/invoices?customer={quote(item.customer, safe="")}">{name(item.customer_name)}</a>',
            f'{spaced(item.total)} <span class="soft">{escape(item.currency)}</span>',
            f'<span class="soft">{moment(item.issued_at)}</span>',
        )
        for item in islice(reversed(invoices), ROWS_SHOWN)
    ]
    empty = "No invoice yet. Close a month that is over: <code>entrepot close 2024-03</code>"
    whose = " ".join(escape(f"of {asked}") for asked in (customer, period) if asked is not None)
    if whose:
        empty = "No invoice."
        whose += ' <small><a href="/invoices">all invoices</a></small>'
    listed = table(("Number", "Period", "Customer", "Total", "Issued"), rows, empty, numbers=(3,))
    return page(
        frame,
        "Invoices",
        f'<section class="card"><h2>Invoices {whose}{shown(ROWS_SHOWN, invoices)}</h2>{listed}</section>',
    )


def invoice_page(frame: Frame, invoice: Invoice, line: int | None, requests: Iterable[UsageEvent]) -> str:
    """One invoice; with the requests behind one of its lines."""
    rows = [
        (
            str(item.number),
            escape(item.model),
            escape(item.title),
            spaced(item.quantity) if item.counts else "",
            item.unit_price or "",
            spaced(item.exact),
            spaced(item.amount),
            f'<a href="/invoices/{escape(invoice.number)}?line={item.number}#requests">requests</a>',
        )
        for item in invoice.lines
    ]
    headings = ("#", "Model", "Meter", "Quantity", "Unit price", "Exact", "Amount", "")
    sums = (("Net", invoice.net), ("Tax", invoice.tax), ("Rounding left over", invoice.residual))
    totals = "".join(f"<dt>{title}</dt><dd>{spaced(value)}</dd>" for title, value in sums)
    totals += f'<dt class="total">Total</dt><dd class="total">{spaced(invoice.total)} {escape(invoice.currency)}</dd>'
    body = fill(
        "invoice.html",
        number=escape(invoice.number),
        customer=escape(invoice.customer_name),
        contract=escape(invoice.contract),
        period=escape(invoice.period),
        issued=moment(invoice.issued_at),
        currency=escape(invoice.currency),
        lines=table(headings, rows, "No lines.", numbers=(3, 4, 5, 6)),
        totals=totals,
        documents=_documents(invoice.number),
        requests=_behind(line, requests) if line is not None else "",
    )
    return page(frame, f"Invoice {invoice.number}", body)


def _documents(number: str) -> str:
    """Links to the documents of an invoice, in every language."""
    address = f"/invoices/{escape(number)}/document"
    rows = [
        (
            form,
            [
                (name, f"{address}?format={form.lower()}&amp;language={code}")
                for code, name in DOCUMENT_LANGUAGES.items()
            ],
        )
        for form in ("PDF", "HTML")
    ]
    rows.append(("XML", [("EN 16931", f"{address}?format=xml")]))
    links = ((form, " · ".join(f'<a href="{to}">{escape(name)}</a>' for name, to in row)) for form, row in rows)
    return "".join(f"<dt>{form}</dt><dd>{row}</dd>" for form, row in links)


def quarantine_page(frame: Frame, items: Sequence[Quarantined], total: int) -> str:
    """What waits in quarantine, and why."""
    rows = [
        (
            badge(item.kind, "warn"),
            f'<span class="mono">{escape(item.event.id)}</span>',
            name(item.event.customer),
            name(item.event.model),
            name(item.reason, kind="wide"),
        )
        for item in items
    ]
    listed = table(("Kind", "Event", "Customer", "Model", "Reason"), rows, "Nothing waits: all usage is booked.")
    part = f"<small>{len(items)} of {spaced(total)}</small>" if total > len(items) else ""
    return page(frame, "Quarantine", f'<section class="card"><h2>Quarantine{part}</h2>{listed}</section>')


def refusal_page(frame: Frame, title: str, message: str) -> str:
    """Something that could not be shown, and why."""
    body = f'<section class="card"><h1>{escape(title)}</h1><p class="empty">{escape(message)}</p></section>'
    return page(frame, title, body)


def page(frame: Frame, title: str, body: str, *, refresh: bool = False) -> str:
    """The body within what every page shows."""
    navigation = "".join(
        f'<a href="{path}"{" aria-current=page" if path == frame.path else ""}>{name}</a>' for path, name in _PAGES
    )
    return fill(
        "page.html",
        refresh=f'<meta http-equiv="refresh" content="{_REFRESH_S}">' if refresh else "",
        title=escape(title),
        operator=escape(frame.operator or "Entrepôt"),
        navigation=navigation,
        body=body,
        footer=escape(frame.footer),
    )


def _tiles(overview: Overview) -> Iterator[str]:
    for currency in dict.fromkeys(item.currency for item in overview.revenue):
        pico = sum(parse_pico(item.exact) for item in overview.revenue if item.currency == currency)
        yield tile("Revenue this month", f"{money(pico, currency)} <small>{escape(currency)}</small>")
    hours = overview.tokens_by_hour
    yield tile("Tokens in 24 hours", spaced(sum(hours)), columns(hours))
    waiting = overview.open_requests + overview.given_up_requests
    yield tile("Open requests", str(waiting), f'<div class="note">{overview.given_up_requests} to be resolved</div>')
    note = '<div class="note"><a href="/quarantine">usage that cannot be booked</a></div>'
    yield tile("Quarantine", spaced(str(overview.quarantined)), note)


def _revenue(rows: Sequence[CustomerRevenue]) -> str:
    largest: dict[str, int] = {}
    for item in rows:
        largest[item.currency] = max(largest.get(item.currency, 0), parse_pico(item.exact))
    listed = [
        (
            name(item.name, escape(item.period)),
            bar(parse_pico(item.exact), largest[item.currency]),
            _amount(item),
        )
        for item in rows[:ROWS_OF_OVERVIEW]
    ]
    return table(("Customer", "", "Amount"), listed, "No contract is in force.", numbers=(2,))


def _amount(item: CustomerRevenue) -> str:
    shown = f'<span title="{escape(item.exact)}">{money(parse_pico(item.exact), item.currency)}</span>'
    return f'{shown} <span class="soft">{escape(item.currency)}</span>'


def _deployments(rows: Sequence[DeploymentTokens]) -> str:
    largest = max((item.input_tokens + item.output_tokens for item in rows), default=0)
    listed = [
        (
            name(item.deployment, escape(item.project)),
            name(item.customer),
            name(item.model, kind="soft"),
            bar(item.input_tokens + item.output_tokens, largest),
            spaced(item.input_tokens),
            spaced(item.output_tokens),
        )
        for item in rows[:ROWS_OF_OVERVIEW]
    ]
    headings = ("Deployment", "Customer", "Model", "", "Input", "Output")
    return table(headings, listed, "No tokens yet this month.", numbers=(4, 5))


def _requests(rows: Sequence[LatestRequest]) -> str:
    listed = [
        (
            f'<span class="soft">{moment(item.admitted_at)}</span>',
            name(item.customer),
            name(item.deployment),
            badge(item.outcome, "good" if item.outcome in _GOOD_OUTCOMES else "warn"),
            badge(item.source, "warn" if item.source == "estimated" else ""),
            f"{spaced(item.duration_ms)} ms",
            _meters(item.meters),
        )
        for item in rows
    ]
    headings = ("Time, UTC", "Customer", "Deployment", "Outcome", "Source", "Duration", "Tokens in / out")
    return table(headings, listed, "No request yet. The quick start prints three ways to send one.", numbers=(5, 6))


def _behind(line: int, events: Iterable[UsageEvent]) -> str:
    rows = [
        (
            f'<span class="mono">{escape(event.id)}</span>',
            f'<span class="soft">{moment(format_instant(event.admitted_at))}</span>',
            escape(event.project),
            escape(event.deployment),
            badge(event.source, "warn" if event.source == "estimated" else ""),
            _meters(event.meters),
        )
        for event in events
    ]
    headings = ("Request", "Time, UTC", "Project", "Deployment", "Source", "Tokens in / out")
    listed = table(headings, rows, "No request.", numbers=(5,))
    return f'<section class="card" id="requests"><h2>Requests behind line {line}</h2>{listed}</section>'


def _meters(meters: dict[str, int]) -> str:
    written = sum(count for meter, count in meters.items() if meter.endswith(("output_tokens", "reasoning_tokens")))
    return f"{spaced(sum(meters.values()) - written)} / {spaced(written)}"


def _health(parts: Sequence[Part]) -> str:
    rows = "".join(
        f'<li><span class="dot {"" if part.good else "bad"}" role="img" aria-label="{"good" if part.good else "bad"}">'
        f'</span>{escape(part.name)}<span class="detail">{escape(part.detail)}</span></li>'
        for part in parts
    )
    return f'<ul class="health">{rows}</ul>'
