"""Budgets as people read them: spent, held, left, and what the month will come to."""

import msgspec

from entrepot.core.budgets import Standing, Standings, forecast
from entrepot.core.money import format_pico
from entrepot.core.periods import Instant, format_instant, period_of


class BudgetReport(msgspec.Struct, frozen=True):
    """One budget in one term. Amounts are decimal strings, of money exact; unit: a currency, or "tokens".

    left: what neither is spent nor held; below nothing where more was spent. forecast: of the month's end, if it goes
    on like this; None of what has no end. resets_at: when it begins anew.
    """

    id: str
    scope: str
    owner: str
    customer: str
    kind: str
    mode: str
    unit: str
    period: str
    limit: str
    spent: str
    held: str
    left: str
    percent: int
    forecast: str | None
    resets_at: str | None
    thresholds: tuple[int, ...]


def budget_reports(standings: Standings, at: Instant) -> list[BudgetReport]:
    """The budgets in the terms that are running."""
    return [
        budget_report(standing, at)
        for standing in standings.budgets
        if not standing.period or standing.period == str(period_of(at, standing.owned.zone))
    ]


def budget_report(standing: Standing, at: Instant) -> BudgetReport:
    """A budget in one of its terms."""
    owned, limit = standing.owned, standing.limit
    in_money = owned.budget.measure == "money"

    def shown(units: int) -> str:
        return format_pico(units, 2) if in_money else str(units)

    expected = forecast(standing, at)
    return BudgetReport(
        id=owned.id,
        scope=owned.scope,
        owner=owned.owner,
        customer=owned.customer,
        kind=owned.budget.kind,
        mode=owned.budget.mode,
        unit=owned.currency if in_money else "tokens",
        period=standing.period,
        limit=shown(limit.units),
        spent=shown(standing.spent),
        held=shown(standing.held_units),
        left=shown(limit.units - standing.spent - standing.held_units),
        percent=standing.percent,
        forecast=None if expected is None else shown(expected),
        resets_at=format_instant(owned.term_at(at).ends) if standing.period else None,
        thresholds=owned.budget.thresholds,
    )
