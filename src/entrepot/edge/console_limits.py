"""The console's page of limits: what customers may use, have used, and when it begins anew."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

from entrepot.core.money import parse_pico
from entrepot.edge.console_markup import badge, bar, moment, money, name, shown, spaced, table
from entrepot.edge.console_pages import ROWS_SHOWN, Frame, page
from entrepot.flows.show_limits import DeploymentLimits
from entrepot.reporting.budgets import BudgetReport


def limits_page(
    frame: Frame, budgets: Sequence[BudgetReport], deployments: Sequence[DeploymentLimits], customer: str | None
) -> str:
    """Budgets and limits of deployments, of one customer or of all. budgets: already of that customer alone."""
    limited = [item for item in deployments if customer in (None, item.customer)]
    whose = f' of {escape(customer)} <small><a href="/limits">all customers</a></small>' if customer is not None else ""
    body = (
        f'<section class="card"><h2>Budgets{whose}{shown(ROWS_SHOWN, budgets)}</h2>'
        f"{_budgets(budgets[:ROWS_SHOWN])}</section>"
        f'<section class="card"><h2>Quota and provisioned units{shown(ROWS_SHOWN, limited)}</h2>'
        f"{_deployments(limited[:ROWS_SHOWN])}</section>"
    )
    return page(frame, "Limits", body)


def _budgets(budgets: Sequence[BudgetReport]) -> str:
    rows = [
        (
            name(item.owner, item.scope if item.scope == "customer" else f"{item.scope} of {_customer(item.customer)}"),
            f"{escape(item.period or item.kind)}<small>{escape(item.mode)}</small>",
            bar(min(item.percent, 100), 100),
            badge(f"{spaced(item.percent)} %", _mood(item)),
            _amount(item.spent, item.unit),
            _amount(item.held, item.unit),
            _amount(item.left, item.unit),
            f'{_amount(item.limit, item.unit)} <span class="soft">{escape(item.unit)}</span>',
            _amount(item.forecast, item.unit) if item.forecast is not None else "",
            f'<span class="soft">{moment(item.resets_at)[:16]}</span>' if item.resets_at is not None else "",
        )
        for item in budgets
    ]
    empty = (
        "No budget. Declare one under <code>budget</code> of a customer or a project in the world file, or make a key "
        "with one: <code>entrepot key create --project P --budget monthly=100</code>"
    )
    headings = ("Budget of", "Term", "Spent", "", "", "Held", "Left", "Limit", "Month’s end", "Anew, UTC")
    return table(headings, rows, empty, numbers=(4, 5, 6, 7, 8))


def _deployments(deployments: Sequence[DeploymentLimits]) -> str:
    rows = [
        (
            name(item.deployment, f"{escape(item.project)} of {_customer(item.customer)}"),
            name(item.model, kind="soft"),
            "provisioned" if item.is_provisioned else "quota",
            bar(min(item.used, item.tokens), item.tokens),
            spaced(item.used),
            spaced(item.tokens),
            f"{spaced(item.requests)} in {item.requests_s} s" if item.requests else "",
        )
        for item in deployments
    ]
    headings = (
        *("Deployment", "Model", "Kind", "Tokens a minute"),
        *("on average, this hour", "at most", "Requests, at most"),
    )
    empty = "No deployment has limits. Give one <code>tokens_per_minute</code> or <code>units</code> in the world file."
    return table(headings, rows, empty, numbers=(4, 5, 6))


def _mood(item: BudgetReport) -> str:
    if item.percent >= 100:
        return "bad"
    return "warn" if any(item.percent >= threshold for threshold in item.thresholds) else "good"


def _amount(text: str, unit: str) -> str:
    return spaced(text) if unit == "tokens" else f'<span title="{text}">{money(parse_pico(text), unit)}</span>'


def _customer(customer: str) -> str:
    return f'<a href="/limits?customer={quote(customer, safe="")}">{escape(customer)}</a>'
