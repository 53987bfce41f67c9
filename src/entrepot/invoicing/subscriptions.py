"""Seats on an invoice: for each subscription and month what was bought, what was added within it, what was trued up."""

from collections.abc import Iterator, Mapping, Sequence

from entrepot.core.invoices import InvoiceLine, LineDraft
from entrepot.core.money import PICO, divide_half_up, parse_pico
from entrepot.core.periods import Period, period_of
from entrepot.core.subscriptions import Subscription, seat_days
from entrepot.core.tenancy import Contract
from entrepot.core.tokens import SEATS

_Key = tuple[str, str, str]  # product, month, price class


def subscription_lines(
    contract: Contract, period: Period, subscriptions: Sequence[Subscription], earlier: Sequence[InvoiceLine]
) -> list[LineDraft]:
    """The seats of all months until the period, less what earlier invoices of the contract have of them.

    So seats of a past day that are told late come to what they would have come to in time. A month is the contract's
    that is in force at its beginning. subscriptions: of its customer.
    """
    charged: dict[_Key, tuple[int, int]] = {}
    for line in earlier if subscriptions else ():
        if line.kind == "subscription":
            key = (line.model, line.period, line.price_class)
            seats_pico, exact_pico = charged.get(key, (0, 0))
            charged[key] = seats_pico + parse_pico(line.quantity), exact_pico + parse_pico(line.exact)
    return [
        line
        for subscription in subscriptions
        for month in _months(subscription, contract, period)
        for line in _lines(subscription, contract, month, charged)
    ]


def _months(subscription: Subscription, contract: Contract, period: Period) -> Iterator[Period]:
    zone = contract.zone
    month = period_of(max(subscription.begins, contract.effective_from), zone)
    while month <= period and month.start(zone) < min(subscription.ends, contract.effective_to):
        if month.start(zone) >= max(subscription.begins, contract.effective_from):
            yield month
        month = month.next()


def _lines(
    subscription: Subscription, contract: Contract, month: Period, charged: Mapping[_Key, tuple[int, int]]
) -> Iterator[LineDraft]:
    """charged: (seats, exact pico) on earlier invoices."""
    counted = seat_days(subscription, month, contract.zone)
    for name, days in (("", counted.bought), ("added", counted.added), ("true_up", counted.true_up)):
        before = charged.get((subscription.product, str(month), name), (0, 0))
        seats_pico = divide_half_up(PICO * days, counted.days) - before[0]
        exact_pico = divide_half_up(subscription.each_pico * days, counted.days) - before[1]
        if exact_pico or seats_pico:
            yield LineDraft(
                period=str(month),
                model=subscription.product,
                meter=SEATS,
                tier="default",
                quantity=seats_pico,
                exact_pico=exact_pico,
                unit_pico=subscription.each_pico,
                kind="subscription",
                price_class=name,
                parts=PICO,
            )
