"""The seats report: who has seats, who uses them, and cohorts."""

from collections.abc import Mapping

from entrepot.core.periods import END_OF_TIME, Instant, Period, parse_instant
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription
from entrepot.reporting.paper import seats_text
from entrepot.reporting.seats import Buyer, SeatsReport, Used, seats_report, used_by
from tests.support.billing import usage

MAY = Period(2024, 5)


def of(customer: str, *seats: tuple[str, int], users: str = "", product: str = "desk") -> Subscription:
    changes = tuple(SeatsFrom(parse_instant(day), count) for day, count in seats)
    begins = changes[0].begins
    assigned = tuple(Assignment(user, begins) for user in users.split())
    name = f"{customer}-{product}"
    return Subscription(name, customer, product, 30 * 10**12, begins, END_OF_TIME, 12, 1, changes, assigned)


def report(*subscriptions: Subscription, **used: Used) -> SeatsReport:
    def asked(customer: str, begins: Instant, ends: Instant) -> Mapping[str, Used]:
        assert (begins, ends) == (MAY.start("UTC"), MAY.end("UTC"))
        return used if customer == "acme" else {}

    buyers = {item.customer: Buyer(item.customer.title(), "UTC", "USD") for item in subscriptions}
    return seats_report(MAY, subscriptions, buyers, asked)


def test_seats_that_nobody_has_and_those_that_nobody_uses() -> None:
    (acme,) = report(of("acme", ("2024-01-01", 5), users="ann bob cid"), ann=Used(7, 900), dan=Used(1, 1)).subscriptions
    assert (acme.seats, acme.assigned, acme.unassigned, acme.unassigned_cost) == (5, 3, 2, "60.00")
    assert (acme.used, acme.used_percent, acme.requests_per_user) == (1, "33.33", "2.33")
    assert [(one.user, one.requests, one.tokens) for one in acme.users] == [
        ("ann", 7, 900),
        ("bob", 0, 0),
        ("cid", 0, 0),
    ]


def test_what_is_trued_up_is_told() -> None:
    (acme,) = report(of("acme", ("2024-01-01", 1), users="ann bob cid")).subscriptions
    assert (acme.unassigned, acme.unassigned_cost, acme.trued_up) == (0, "0.00", 2)


def test_cohorts_grow_by_the_quarter() -> None:
    """Big customers double: one had ten thousand seats in March, another one has them in May."""
    cohorts = report(
        of("huge", ("2024-03-01", 15_000)),
        of("big", ("2024-02-01", 9_000), ("2024-05-01", 12_500)),
        of("acme", ("2024-01-01", 99)),
        of("late", ("2024-05-31", 0)),
        of("acme", ("2024-04-01", 1), product="pen"),
    ).cohorts
    told = [
        (one.quarter, one.band, one.customers, one.seats, one.customers_change_percent, one.seats_change_percent)
        for one in cohorts
        if one.product == "desk"
    ]
    assert told == [
        ("2024-Q1", "10-99", 1, 99, None, None),
        ("2024-Q1", "1000-9999", 1, 9_000, None, None),
        ("2024-Q1", "10000+", 1, 15_000, None, None),
        ("2024-Q2", "10-99", 1, 99, "0.00", "0.00"),
        ("2024-Q2", "1000-9999", 0, 0, "-100.00", "-100.00"),
        ("2024-Q2", "10000+", 2, 27_500, "100.00", "83.33"),
    ]
    assert [(one.quarter, one.customers) for one in cohorts if one.product == "pen"] == [("2024-Q2", 1)]


def test_usage_is_summed_by_key() -> None:
    more = usage("b", key="ann", meters={"output_tokens": 5, "requests": 1})
    assert used_by([usage("a", key="ann"), more, usage("c", key="bob")]) == {"ann": Used(2, 15), "bob": Used(1, 10)}


def test_the_report_in_columns() -> None:
    text = seats_text(report(of("acme", ("2024-01-01", 1200), users="ann"), ann=Used(1, 1_000)), users=True)
    assert "acme-desk      Acme       desk      1,200          1        1,199" in text
    assert "35,970.00 USD" in text
    assert "ann           1    1,000" in text
    assert "1,000-9,999" in text
