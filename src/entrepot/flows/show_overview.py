"""What an operator wants to see at a glance: this month's revenue, who uses what, what waits, what was asked last."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from entrepot.core.charges import Reading
from entrepot.core.money import format_minor, format_pico, round_to_minor
from entrepot.core.periods import DAY, HOUR, Instant, Period, format_instant, hour_of, period_of
from entrepot.core.tokens import TOKEN_METERS
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import WorldIndex, index_of
from entrepot.ports.books import Books
from entrepot.rating.rate_usage import Rater

HOURS_SHOWN = 24
REQUESTS_SHOWN = 15


class CustomerRevenue(msgspec.Struct, frozen=True):
    """What a customer has used up in its current billing period. exact: unrounded; amount: in the currency's digits."""

    customer: str
    name: str
    period: str
    currency: str
    exact: str
    amount: str


class DeploymentTokens(msgspec.Struct, frozen=True):
    """Tokens of a deployment in the current UTC month."""

    customer: str
    project: str
    deployment: str
    model: str
    input_tokens: int
    output_tokens: int


class LatestRequest(msgspec.Struct, frozen=True):
    """A request as it was metered."""

    id: str
    admitted_at: str
    duration_ms: int
    customer: str
    deployment: str
    model: str
    meters: dict[str, int]
    source: str
    outcome: str


class Overview(msgspec.Struct, frozen=True):
    """One moment of the books. tokens_by_hour: of the last hours, the running one last."""

    at: str
    operator: str
    world: int
    watermark: str
    revenue: tuple[CustomerRevenue, ...]
    deployments: tuple[DeploymentTokens, ...]
    requests: tuple[LatestRequest, ...]
    tokens_by_hour: tuple[int, ...]
    quarantined: int
    open_requests: int
    given_up_requests: int


def show_overview(books: Books, at: Instant) -> Overview:
    """The overview of the books at an instant."""
    with books.snapshot():
        terms = index_of(books.worlds())
        number, world = books.world() or (0, None)
        month = period_of(at, "UTC")
        zones = {"UTC", *(item.zone for item in (terms.world.contracts if terms else ()))}
        first = min(period_of(at, zone).start(zone) for zone in zones)
        readings = list(books.readings(min(first, hour_of(at) - DAY), at + 1))
        return Overview(
            at=format_instant(at),
            operator=world.operator.name if world else "",
            world=number,
            watermark=format_instant(books.watermark()),
            revenue=tuple(_revenue(terms, readings, at)) if terms else (),
            deployments=tuple(_deployments(readings, month)),
            requests=tuple(_request(event) for event in books.newest_events(REQUESTS_SHOWN)),
            tokens_by_hour=tuple(_tokens_by_hour(readings, at)),
            quarantined=sum(books.usage_counts().quarantined.values()),
            open_requests=len(books.open_requests(given_up=False)),
            given_up_requests=len(books.open_requests(given_up=True)),
        )


def _revenue(terms: WorldIndex, readings: Iterable[Reading], at: Instant) -> Iterator[CustomerRevenue]:
    """Each customer's charges so far; customers without any are shown with nothing."""
    exact: dict[tuple[str, str, str], int] = {}
    periods = {zone: period_of(at, zone) for zone in {contract.zone for contract in terms.world.contracts}}
    begins = {zone: period.start(zone) for zone, period in periods.items()}
    for contract in terms.world.contracts:
        if contract.effective_from <= at < contract.effective_to:
            exact[contract.customer, str(periods[contract.zone]), contract.charged_in] = 0
    rater = Rater(terms)
    for reading in readings:
        contract = terms.contract(reading.series.contract)
        if reading.hour >= begins[contract.zone]:
            key = (contract.customer, str(periods[contract.zone]), contract.charged_in)
            exact[key] = exact.get(key, 0) + rater.rate(reading).amount_pico
    rounding = terms.world.operator.rounding
    for (customer, label, currency), pico in sorted(exact.items(), key=lambda item: (-item[1], item[0])):
        yield CustomerRevenue(
            customer=customer,
            name=terms.customers[customer].name,
            period=label,
            currency=currency,
            exact=format_pico(pico),
            amount=format_minor(round_to_minor(pico, currency, rounding), currency),
        )


def _deployments(readings: Iterable[Reading], month: Period) -> Iterator[DeploymentTokens]:
    begins = month.start("UTC")
    counts: dict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])
    for reading in readings:
        if reading.hour >= begins and reading.meter in TOKEN_METERS:
            series = reading.series
            key = (series.customer, series.project, series.deployment, series.model)
            produced = reading.meter.endswith(("output_tokens", "reasoning_tokens"))
            counts[key][produced] += reading.quantity
    for key, (read, written) in sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0])):
        yield DeploymentTokens(*key, input_tokens=read, output_tokens=written)


def _tokens_by_hour(readings: Iterable[Reading], at: Instant) -> list[int]:
    current = hour_of(at)
    counts = [0] * HOURS_SHOWN
    for reading in readings:
        age = (current - hour_of(reading.hour)) // HOUR
        if 0 <= age < HOURS_SHOWN and reading.meter in TOKEN_METERS:
            counts[HOURS_SHOWN - 1 - age] += reading.quantity
    return counts


def _request(event: UsageEvent) -> LatestRequest:
    return LatestRequest(
        id=event.id,
        admitted_at=format_instant(event.admitted_at),
        duration_ms=(event.finished_at - event.admitted_at) // 1000,
        customer=event.customer,
        deployment=event.deployment,
        model=event.model,
        meters=event.meters,
        source=event.source,
        outcome=event.outcome,
    )
