"""Reservations on an invoice: a line for each and month, with how much of it was used."""

from collections.abc import Sequence

from entrepot.core.charges import Charge
from entrepot.core.invoices import LineDraft, ReservedShare
from entrepot.core.money import format_parts, format_pico
from entrepot.core.periods import Period, period_of
from entrepot.core.tenancy import Contract
from entrepot.core.tokens import COVERED_MINUTES, MINUTES_PER_HOUR, RESERVED_MINUTES, UNIT_HOURS
from entrepot.invoicing.draft import DraftLine

_METERS = frozenset({RESERVED_MINUTES, COVERED_MINUTES})


def parted(charges: Sequence[Charge]) -> tuple[list[Charge], list[Charge]]:
    """(charges for reserved units and for what they cover, all others)."""
    reserved = [charge for charge in charges if charge.meter in _METERS]
    return reserved, [charge for charge in charges if charge.meter not in _METERS] if reserved else list(charges)


def reservation_lines(charges: Sequence[Charge], contract: Contract) -> list[DraftLine]:
    """The lines in the order of their numbers. Behind each are the reserved minutes and those that they covered."""
    grouped: dict[tuple[Period, str], list[Charge]] = {}
    for charge in charges:
        grouped.setdefault((period_of(charge.hour, contract.zone), charge.series.price_class), []).append(charge)
    lines = [DraftLine(_line(period, name, group), group) for (period, name), group in grouped.items()]
    return sorted(lines, key=lambda item: item.line.place)


def _line(period: Period, name: str, charges: Sequence[Charge]) -> LineDraft:
    reserved = [charge for charge in charges if charge.meter == RESERVED_MINUTES]
    minutes = sum(charge.quantity for charge in reserved)
    used = sum(charge.quantity for charge in charges if charge.meter == COVERED_MINUTES)
    exact_pico = sum(charge.amount_pico for charge in reserved)
    return LineDraft(
        period=str(period),
        model=reserved[0].series.model if reserved else "",
        meter=UNIT_HOURS,
        tier="default",
        quantity=minutes,
        exact_pico=exact_pico,
        unit_pico=reserved[0].unit_pico if reserved else None,
        kind="reservation",
        price_class=name,
        parts=MINUTES_PER_HOUR,
        shares=_shares(minutes, used, exact_pico),
    )


def _shares(minutes: int, used: int, exact_pico: int) -> tuple[ReservedShare, ReservedShare]:
    """What was used and what was not; what they cost sums to the price of the reservation."""
    used_pico = (2 * exact_pico * used + minutes) // (2 * minutes) if minutes else 0
    return (
        ReservedShare("used", format_parts(used, MINUTES_PER_HOUR), format_pico(used_pico)),
        ReservedShare("unused", format_parts(minutes - used, MINUTES_PER_HOUR), format_pico(exact_pico - used_pico)),
    )
