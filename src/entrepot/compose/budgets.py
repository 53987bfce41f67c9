"""Budgets as commands see them: weighed now, from books that are folded to the end of the log."""

from entrepot.adapters.clocks import SystemClock
from entrepot.compose.books import open_current_books
from entrepot.compose.settings import Settings
from entrepot.core.world import index_of
from entrepot.flows.weigh_budgets import weigh_budgets
from entrepot.reporting.budgets import BudgetReport, budget_reports


def current_budgets(settings: Settings) -> list[BudgetReport]:
    """All budgets in the terms that are running. Raises: BooksUnavailable, LogDamaged."""
    now = SystemClock().now()
    with open_current_books(settings) as books:
        return budget_reports(weigh_budgets(books, index_of(books.worlds()), now), now)
