"""How much of a month's revenue hangs on whom.

Revenue is what was invoiced for the month, net of tax, so that the report's total is the sum of the invoices to the
cent. Shares and indexes are exact fractions. Customers under common control count as one where a rule says so.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

from entrepot.core.errors import NotFound
from entrepot.core.invoices import Invoice
from entrepot.core.money import parse_pico
from entrepot.core.periods import Period
from entrepot.core.tenancy import Customer
from entrepot.reporting.figures import decimal_text, money_text, percent_text
from entrepot.reporting.run_rate import day_normalised, days_of, times_twelve

MAJOR = Fraction(1, 10)  # ASC 280-10-50-42: a customer of 10 percent or more of revenue is disclosed.
BASIS = "invoices of the month, net of tax"


class Revenue(msgspec.Struct, frozen=True):
    """What one customer was invoiced. group: the customers under common control that it belongs to, or itself."""

    customer: str
    name: str
    group: str
    pico: int


class CustomerShare(msgspec.Struct, frozen=True):
    """A line of the report, largest first."""

    rank: int
    customer: str
    name: str
    group: str
    revenue: str
    share_percent: str
    cumulative_percent: str


class GroupShare(msgspec.Struct, frozen=True):
    """Customers under common control, taken as one."""

    group: str
    customers: tuple[str, ...]
    revenue: str
    share_percent: str


class Hhi(msgspec.Struct, frozen=True):
    """Herfindahl-Hirschman indexes from 0 to 10000. A market measure, here a yardstick only."""

    customers: str
    groups: str
    groups_without_largest: str | None
    band: str


class RunRate(msgspec.Struct, frozen=True):
    """The month made a year, both ways; which of them is meant must always be said."""

    times_12: str
    times_365_over_days: str
    days: int


class Concentration(msgspec.Struct, frozen=True):
    """The report for one currency. Percentages and indexes have two digits, amounts those of the currency."""

    period: str
    currency: str
    basis: str
    revenue: str
    top_1_percent: str
    top_5_percent: str
    top_10_percent: str
    hhi: Hhi
    run_rate: RunRate
    major_customers: tuple[GroupShare, ...]
    customers: tuple[CustomerShare, ...]
    groups: tuple[GroupShare, ...]


def revenues(invoices: Iterable[Invoice], customers: Mapping[str, Customer]) -> dict[str, list[Revenue]]:
    """{currency: what each customer was invoiced, net}. Currencies are never added up."""
    totals: dict[tuple[str, str], int] = defaultdict(int)
    names: dict[str, str] = {}
    for invoice in invoices:
        totals[invoice.currency, invoice.customer] += parse_pico(invoice.net)
        names[invoice.customer] = invoice.customer_name
    found: dict[str, list[Revenue]] = defaultdict(list)
    for (currency, customer), pico in sorted(totals.items()):
        found[currency].append(Revenue(customer, names[customer], group_of(customer, customers), pico))
    return dict(found)


def group_of(customer: str, customers: Mapping[str, Customer]) -> str:
    """The top of the customer's chain of parents; a circle of parents is one group, named by its first member."""
    chain = [customer]
    while (current := customers.get(chain[-1])) is not None and current.parent:
        if current.parent in chain:
            return min(chain[chain.index(current.parent) :])
        chain.append(current.parent)
    return chain[-1]


def concentration(period: Period, currency: str, found: Sequence[Revenue]) -> Concentration:
    """The report. Raises: NotFound when there is no revenue to have shares of."""
    total = sum(one.pico for one in found)
    if total <= 0:
        raise NotFound(f"{period} has no revenue in {currency}; close the month first: entrepot close {period}")
    ranked = sorted(found, key=lambda one: (-one.pico, one.customer))
    shares = [Fraction(one.pico, total) for one in ranked]
    groups = _groups(ranked)
    group_shares = {group: Fraction(sum(one.pico for one in members), total) for group, members in groups.items()}
    written = {group: _group_share(group, members, currency, group_shares[group]) for group, members in groups.items()}
    return Concentration(
        period=str(period),
        currency=currency,
        basis=BASIS,
        revenue=money_text(total, currency),
        top_1_percent=percent_text(sum(shares[:1], Fraction())),
        top_5_percent=percent_text(sum(shares[:5], Fraction())),
        top_10_percent=percent_text(sum(shares[:10], Fraction())),
        hhi=_hhi(shares, list(group_shares.values())),
        run_rate=RunRate(
            times_12=money_text(times_twelve(total), currency),
            times_365_over_days=money_text(day_normalised(total, period), currency),
            days=days_of(period),
        ),
        major_customers=tuple(written[group] for group, share in group_shares.items() if share >= MAJOR),
        customers=_customer_shares(ranked, shares, currency),
        groups=tuple(written.values()),
    )


def hhi(shares: Iterable[Fraction]) -> Fraction:
    """The sum of squared percentage shares: 10000 for a single customer, 10000/n for n equal ones."""
    return sum((share * share for share in shares), Fraction()) * 10_000


def _hhi(customers: Sequence[Fraction], groups: Sequence[Fraction]) -> Hhi:
    by_group = hhi(groups)
    rest = 1 - max(groups)
    without = hhi(share / rest for share in sorted(groups)[:-1]) if rest > 0 else None
    # Source: Merger Guidelines, U.S. Department of Justice and Federal Trade Commission, 2023, guideline 1.
    band = (
        "highly concentrated"
        if by_group > 1800
        else "moderately concentrated"
        if by_group >= 1000
        else "not concentrated"
    )
    return Hhi(
        customers=decimal_text(hhi(customers)),
        groups=decimal_text(by_group),
        groups_without_largest=None if without is None else decimal_text(without),
        band=band,
    )


def _groups(ranked: Sequence[Revenue]) -> dict[str, list[Revenue]]:
    """{group: its customers}, the largest group first."""
    found: dict[str, list[Revenue]] = defaultdict(list)
    for one in ranked:
        found[one.group].append(one)
    return dict(sorted(found.items(), key=lambda item: (-sum(one.pico for one in item[1]), item[0])))


def _group_share(group: str, members: Sequence[Revenue], currency: str, share: Fraction) -> GroupShare:
    revenue = money_text(sum(one.pico for one in members), currency)
    return GroupShare(group, tuple(one.customer for one in members), revenue, percent_text(share))


def _customer_shares(ranked: Sequence[Revenue], shares: Sequence[Fraction], currency: str) -> tuple[CustomerShare, ...]:
    lines = []
    cumulative = Fraction()
    for rank, (one, share) in enumerate(zip(ranked, shares, strict=True), start=1):
        cumulative += share
        lines.append(
            CustomerShare(
                rank=rank,
                customer=one.customer,
                name=one.name,
                group=one.group,
                revenue=money_text(one.pico, currency),
                share_percent=percent_text(share),
                cumulative_percent=percent_text(cumulative),
            )
        )
    return tuple(lines)
