"""Which charges make which line."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from entrepot.core.charges import Charge
from entrepot.core.invoices import LineDraft, LineKind
from entrepot.core.periods import Instant, Period, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.tokens import MINUTES_PER_HOUR, UNIT_HOURS, UNIT_MINUTES


class DraftLine(NamedTuple):
    """A line before rounding, with the charges behind it."""

    line: LineDraft
    charges: list[Charge]


# (service period, model, meter, tier, price class, unit price); the last four are empty on a line per model.
_Key = tuple[str, str, str, str, str, int | None]


def draft(
    charges: Sequence[Charge], contract: Contract, period: Period, supplement: bool, kind: LineKind = "usage"
) -> list[DraftLine]:
    """The lines of an invoice in the order of their numbers; what comes to nothing at all makes no line.

    charges: what is not invoiced yet of one contract. Usage of earlier months keeps its own service period, as an
    adjustment, and so does usage of the period itself when this is a supplement to an invoice of it.
    """
    grouped: dict[_Key, list[Charge]] = defaultdict(list)
    months = _months({charge.hour for charge in charges}, contract.zone, period)
    grain = contract.line_grain
    for charge in charges:
        grouped[_key(charge, months[charge.hour], grain)].append(charge)
    lines = []
    for key, group in grouped.items():
        is_late = kind == "usage" and (supplement or key[0] < str(period))
        lines.append(DraftLine(_line(key, group, "adjustment" if is_late else kind), group))
    return sorted((item for item in lines if _comes_to_something(item)), key=lambda item: item.line.place)


def _months(hours: Iterable[Instant], zone: str, period: Period) -> dict[Instant, str]:
    """The month of each hour in the zone; nearly all are of the period."""
    begins, ends, name = period.start(zone), period.end(zone), str(period)
    return {hour: name if begins <= hour < ends else str(period_of(hour, zone)) for hour in hours}


def _comes_to_something(item: DraftLine) -> bool:
    """What is counted in a pool must be invoiced even where it comes to nothing: the pool has moved."""
    return bool(item.line.quantity or item.line.exact_pico) or any(
        charge.unit_pico is None or charge.meter == UNIT_MINUTES for charge in item.charges
    )


def _key(charge: Charge, month: str, grain: str) -> _Key:
    series = charge.series
    if grain == "model" and charge.meter != UNIT_MINUTES:
        return month, series.model, "", "", "", None
    return month, series.model, charge.priced_as, series.tier, charge.price_class, charge.unit_pico


def _line(key: _Key, charges: Sequence[Charge], kind: LineKind) -> LineDraft:
    service, model, meter, tier, price_class, unit_pico = key
    by_the_minute = meter == UNIT_MINUTES
    return LineDraft(
        period=service,
        model=model,
        meter=UNIT_HOURS if by_the_minute else meter,
        tier=tier,
        quantity=sum(charge.quantity for charge in charges),
        exact_pico=sum(charge.amount_pico for charge in charges),
        unit_pico=unit_pico,
        kind=kind,
        price_class=price_class,
        parts=MINUTES_PER_HOUR if by_the_minute else 1,
    )
