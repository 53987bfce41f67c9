"""Reservations on an invoice: a line for each and month, with how much of it was used."""

from collections.abc import Sequence

from entrepot.core.charges import Charge
from entrepot.core.invoices import LineDraft, ReservedShare
from entrepot.core.money import format_parts, format_pico
from entrepot.core.periods import Period, period_of
from entrepot.core.provisioned import minutes_pico
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Reservation
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
    agreed = {term.id: term for term in contract.terms if isinstance(term, Reservation)}
    lines = [DraftLine(_line(period, agreed[name], group), group) for (period, name), group in grouped.items()]
    return sorted(lines, key=lambda item: item.line.place)


def _line(period: Period, reservation: Reservation, charges: Sequence[Charge]) -> LineDraft:
    minutes = sum(charge.quantity for charge in charges if charge.meter == RESERVED_MINUTES)
    used = sum(charge.quantity for charge in charges if charge.meter == COVERED_MINUTES)
    exact_pico = sum(charge.amount_pico for charge in charges)
    return LineDraft(
        period=str(period),
        model=reservation.model,
        meter=UNIT_HOURS,
        tier="default",
        quantity=minutes,
        exact_pico=exact_pico,
        unit_pico=reservation.each_hour_pico,
        kind="reservation",
        price_class=reservation.id,
        parts=MINUTES_PER_HOUR,
        shares=_shares(minutes, used, reservation.each_hour_pico, exact_pico),
    )


def _shares(minutes: int, used: int, hourly_pico: int, exact_pico: int) -> tuple[ReservedShare, ReservedShare]:
    """What was used and what was not; what they cost sums to what the line comes to."""
    used_pico = minutes_pico(used, hourly_pico)
    return (
        ReservedShare("used", format_parts(used, MINUTES_PER_HOUR), format_pico(used_pico)),
        ReservedShare("unused", format_parts(minutes - used, MINUTES_PER_HOUR), format_pico(exact_pico - used_pico)),
    )
