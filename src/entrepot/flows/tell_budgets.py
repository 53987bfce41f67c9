"""Notices of thresholds that budgets have passed, delivered at least once each to the recipients they name."""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from entrepot.core.budgets import Standing, Standings
from entrepot.core.notices import Notice, notice_id
from entrepot.core.periods import Instant, format_instant
from entrepot.ports.notices import KeptNotices, Messenger
from entrepot.reporting.budgets import budget_report

TYPE = "budget.threshold_reached"


def tell_budgets(
    standings: Standings | None, kept: KeptNotices, messenger: Messenger, at: Instant, complain: Callable[[str], None]
) -> int:
    """How many notices were delivered. What is due is kept before it is sent, and tried again until it is taken.

    standings: those that are new, or all of them. complain: told of each attempt in vain.
    """
    before = kept.load()
    known = {notice.id: notice for notice in before}
    if standings is not None:
        known |= {notice.id: notice for notice in _passed(standings.budgets, at) if notice.id not in known}
        if standings.is_whole and not standings.left:
            current = {standing.limit.id for standing in standings.budgets}
            known = {name: notice for name, notice in known.items() if not notice.is_sent or notice.counter in current}
    if list(known.values()) != before:
        kept.save(list(known.values()))
    delivered = 0
    for notice in list(known.values()):
        if notice.is_sent or notice.next_at > at:
            continue
        fault = messenger.carry(notice, at)
        known[notice.id] = notice.failed(at) if fault else notice.sent()
        kept.save(list(known.values()))
        if fault:
            complain(f"budget_notice_not_delivered id={notice.id} attempt={notice.attempts + 1} reason={fault}")
        else:
            delivered += 1
    return delivered


def _passed(budgets: Iterable[Standing], at: Instant) -> Iterator[Notice]:
    """A notice for each threshold of a running term that is reached, and each recipient."""
    for standing in budgets:
        owned, budget = standing.owned, standing.owned.budget
        if standing.limit.id != owned.term_at(at).limit.id:
            continue
        for threshold in budget.thresholds:
            if standing.percent < threshold:
                continue
            counter = standing.limit.id
            if budget.webhook:
                body = msgspec.json.encode(_said(standing, threshold, at)).decode()
                identifier = notice_id(counter, str(threshold), "webhook", budget.webhook)
                yield Notice(identifier, counter, "webhook", budget.webhook, TYPE, body)
            for address in budget.email:
                identifier = notice_id(counter, str(threshold), "email", address)
                yield Notice(identifier, counter, "email", address, *_written(standing, threshold, at))


def _said(standing: Standing, threshold: int, at: Instant) -> dict[str, object]:
    report = budget_report(standing, at)
    return {"type": TYPE, "timestamp": format_instant(at), "data": {"threshold": threshold, "budget": report}}


def _written(standing: Standing, threshold: int, at: Instant) -> tuple[str, str]:
    """(subject, text) of a mail."""
    report = budget_report(standing, at)
    term = f" for {report.period}" if report.period else ""
    subject = f"{threshold} % of the budget of {report.scope} {report.owner}{term} is spent"
    lines = [
        f"Of the {report.kind} budget of {report.scope} {report.owner}{term}, {threshold} % is reached.",
        "",
        f"Budget    {report.limit} {report.unit}",
        f"Spent     {report.spent} {report.unit} ({report.percent} %)",
        f"Held      {report.held} {report.unit} by requests that are open",
        f"Left      {report.left} {report.unit}",
    ]
    if report.forecast is not None:
        lines.append(f"Forecast  {report.forecast} {report.unit} at the month's end, if it goes on like this")
    end = "Nothing is served beyond it." if report.mode == "hard" else "Requests go on being served beyond it."
    return subject, "\n".join([*lines, "", end, ""])
