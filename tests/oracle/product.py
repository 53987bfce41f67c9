"""The same cases through the product: its world, its fold, its books in memory; and what it printed."""

from collections.abc import Iterable, Sequence

from entrepot.adapters.sql.books import open_books
from entrepot.core.catalog import Model, Partner
from entrepot.core.exchange import ExchangeRate, parse_rate
from entrepot.core.invoices import Invoice
from entrepot.core.log_records import LogRecord, MonthClosed, UsageRecorded, WorldApplied
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, END_OF_TIME, SECOND, format_instant, parse_instant, parse_period
from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Price, PriceBookVersion, Step, unit_price
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription
from entrepot.core.tenancy import Contract, Customer, Deployment, Project
from entrepot.core.terms import (
    Cap,
    Commitment,
    Credit,
    Discount,
    LockedRate,
    Minimum,
    Reservation,
    Tax,
    Term,
    parse_percent,
)
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import Operator, World, encode_world
from entrepot.ports.books import Books
from entrepot.workers import Fold
from tests.oracle.cases import Case, Deal, Desk, Edition, Round, Row, Use
from tests.oracle.papers import Line, Paper
from tests.oracle.standing import known


def world_of(office: Round, closes: int = 0) -> World:
    """A round's operator and everything declared in it by a close."""
    deals = [deal for case in office.cases for deal in case.deals]
    sites = [case for case in office.cases if case.units]
    return World(
        operator=Operator("Contoso Cloud", "USD", office.rounding),
        partners=(Partner("own", "Contoso"),),
        models=tuple(Model(name, "1", "own", 10**6, "general") for name in ("m", "n")),
        price_books=tuple(_version(deal, edition) for deal in deals for edition in deal.editions),
        customers=tuple(Customer(case.customer, case.customer) for case in office.cases),
        contracts=tuple(_contract(deal, closes) for deal in deals if deal.arrives <= closes),
        projects=tuple(Project(_project(case.customer), case.customer) for case in sites),
        deployments=tuple(deployment for case in sites for deployment in _deployments(case, closes)),
        subscriptions=tuple(_subscription(case, desk, closes) for case in office.cases for desk in case.desks),
        exchange_rates=tuple(
            ExchangeRate(sold, bought, parse_instant(date), parse_rate(rate))
            for sold, bought, date, rate in office.rates
        ),
    )


def _project(customer: str) -> str:
    return f"of-{customer}"


def _deployments(case: Case, closes: int) -> Iterable[Deployment]:
    for item in case.units:
        units = tuple(UnitsFrom(step.at, step.number) for step in known(item.steps, closes))
        if units:
            of = (item.deployment, _project(case.customer), item.model)
            yield Deployment(*of, kind="provisioned", geography=item.geography, units=units)


def _subscription(case: Case, desk: Desk, closes: int) -> Subscription:
    begins, ends = (_month_begins(case, month) if month else END_OF_TIME for month in (desk.first, desk.last))
    return Subscription(
        id=f"{case.customer}-{desk.product}",
        customer=case.customer,
        product=desk.product,
        each_pico=parse_pico(desk.price),
        begins=begins,
        ends=ends,
        months=desk.months,
        minimum=1,
        seats=tuple(SeatsFrom(step.at, step.number) for step in known(desk.seats, closes)),
        assignments=tuple(Assignment(*item[:3]) for item in desk.holders if item.arrives <= closes),
    )


def _month_begins(case: Case, month: str) -> int:
    return parse_period(month).start(case.deals[0].zone)


def _version(deal: Deal, edition: Edition) -> PriceBookVersion:
    return PriceBookVersion(
        id=f"{deal.id}@{edition.date}",
        book=deal.id,
        effective_from=parse_instant(edition.date),
        prices=tuple(map(_price, edition.rows)),
        effective_date=edition.date,
        windows=tuple(PriceWindow(item.name, item.zone, item.days, item.start, item.end) for item in edition.hours),
    )


def _price(row: Row) -> Price:
    steps = tuple(Step(last, _unit(price, row.per)) for last, price in row.steps)
    return Price(
        row.model,
        row.meter,
        row.tier,
        _unit(row.price, row.per),
        row.of,
        "flat" if row.mode == "hourly" else row.mode,
        steps,
        row.size,
    )


def _unit(price: str, per: int) -> int:
    return unit_price(price, "each" if per == 1 else "per_million")


def _contract(deal: Deal, closes: int) -> Contract:
    return Contract(
        id=deal.id,
        customer=deal.customer,
        effective_from=parse_instant(deal.start, deal.zone),
        effective_to=parse_instant(deal.end, deal.zone) if deal.end else END_OF_TIME,
        price_book=deal.id,
        currency=deal.currency,
        zone=deal.zone,
        line_grain=deal.grain,
        terms=tuple(_terms(deal, closes)),
        price_currency="" if deal.priced_in == deal.currency else deal.priced_in,
    )


def _terms(deal: Deal, closes: int) -> Iterable[Term]:
    for percent, models in deal.discounts:
        yield Discount(parse_percent(percent), models)
    if deal.minimum:
        yield Minimum(parse_pico(deal.minimum))
    for levy in deal.levies:
        yield Tax(parse_percent(levy.percent), levy.name, levy.models)
    if deal.promise:
        yield Commitment(
            amount_pico=parse_pico(deal.promise.amount),
            begins=parse_period(deal.promise.first).start(deal.zone),
            ends=parse_period(deal.promise.last).start(deal.zone),
            share=parse_percent(deal.promise.percent),
            overage_share=parse_pico(deal.promise.overage) if deal.promise.overage else None,
            prepaid=deal.promise.prepaid,
        )
    if deal.cap:
        yield Cap(parse_pico(deal.cap))
    for credit in deal.credits:
        begins, ends = (parse_period(month).start(deal.zone) for month in (credit.first, credit.expires))
        yield Credit(credit.name, parse_pico(credit.amount), begins, ends, credit.granted)
    if deal.locked:
        yield LockedRate(parse_rate(deal.locked))
    for item in deal.reserved:
        if item.arrives <= closes:
            price = parse_pico(item.price)
            yield Reservation(item.name, item.number, price, item.begins, item.ends, item.models, item.geography)


def event_of(customer: str, use: Use) -> UsageEvent:
    """The usage event of a request."""
    of = (customer, _project(customer), use.deployment, use.model, use.tier)
    return UsageEvent(use.id, use.at, use.at, *of, dict(use.meters), raw=b"")


def records_of(office: Round) -> list[list[LogRecord]]:
    """For each close the world where it changed, the usage that has arrived by then, and the close."""
    arriving: list[list[LogRecord]] = [[] for _ in office.closes]
    for place in sorted(_told_late(office)):
        at = closed_at(office.closes[place], place) - 1
        arriving[place].append(WorldApplied(at=at, world=encode_world(world_of(office, place))))
    for case in office.cases:
        for use in case.uses:
            arriving[use.arrives].append(UsageRecorded(event_of(case.customer, use)))
    for place, (records, period) in enumerate(zip(arriving, office.closes, strict=True)):
        records.append(MonthClosed(at=closed_at(period, place), period=period))
    return arriving


def _told_late(office: Round) -> set[int]:
    """Before which closes the world is applied again."""
    told = {item.arrives for case in office.cases for deal in case.deals for item in deal.reserved}
    told |= {deal.arrives for case in office.cases for deal in case.deals}
    for case in office.cases:
        steps = [*(units.steps for units in case.units), *(desk.seats for desk in case.desks)]
        told |= {step.arrives for several in steps for step in several}
        told |= {holder.arrives for desk in case.desks for holder in desk.holders}
    return told - {0}


def closed_at(period: str, place: int) -> int:
    """When the close of this place among all is made: a day after the month, and a second later for each."""
    return parse_period(period).end("UTC") + DAY + place * SECOND


def place_of(invoice: Invoice, office: Round) -> int:
    """The place of the close that issued an invoice."""
    times = (format_instant(closed_at(period, place)) for place, period in enumerate(office.closes))
    return list(times).index(invoice.issued_at)


def books_of(office: Round, records: Iterable[Sequence[LogRecord]], declared: World | None = None) -> Books:
    """Books that hold these records, folded in as many transactions."""
    books = open_books(":memory:")
    fold = Fold(books)
    with books.transaction():
        fold.apply([WorldApplied(at=0, world=encode_world(declared or world_of(office)))])
    for batch in records:
        with books.transaction():
            fold.apply(batch)
    return books


def paper_of(invoice: Invoice) -> Paper | None:
    """An invoice as it is compared; without lines of nothing."""
    lines = tuple(
        sorted(
            Line(
                line.kind,
                line.period,
                line.model,
                line.meter,
                line.tier,
                line.price_class,
                line.quantity,
                line.unit_price or "",
                line.exact,
                line.amount,
                f"{line.shares[0].quantity} {line.shares[0].exact}" if line.shares else "",
            )
            for line in invoice.lines
            if line.quantity != "0" or line.exact != "0" or (line.shares and line.shares[0].quantity != "0")
        )
    )
    if not lines:
        return None
    taxes = tuple((tax.name, tax.net, tax.amount) for tax in invoice.taxes)
    of = (invoice.period, invoice.contract, invoice.currency, lines, taxes)
    return Paper(*of, invoice.net, invoice.tax, invoice.total, invoice.residual)
