"""Budgets by their terms: what may be spent when, what is known to be spent, and where it leads."""

import pytest

from entrepot.core.budgets import (
    SCHEMA,
    Budget,
    BudgetKind,
    OwnedBudget,
    Standing,
    Standings,
    TopUp,
    forecast,
    periods_around,
    place_of,
)
from entrepot.core.periods import DAY, END_OF_TIME, HOUR, Period, parse_instant
from tests.support.billing import APRIL, MARCH

BERLIN = "Europe/Berlin"


def owned(kind: BudgetKind = "monthly", units: int = 300, top_ups: tuple[TopUp, ...] = ()) -> OwnedBudget:
    return OwnedBudget("project", "search", "acme", Budget(units, "tokens", kind), BERLIN, top_ups=top_ups)


def test_a_budget_is_told_in_words() -> None:
    assert str(Budget(50 * 10**12)) == "hard, monthly, 50.00, told at 50 %, 80 %, 100 %"
    assert str(Budget(7, "tokens", "total", "soft", (90,))) == "soft, total, 7 tokens, told at 90 %"


def test_a_month_has_its_own_counter_and_the_clocks_of_the_contract() -> None:
    term = owned().term_at(MARCH - HOUR)
    assert (term.begins, term.ends, term.period) == (MARCH - HOUR, APRIL - 2 * HOUR, "2024-03")
    assert (term.limit.id, term.limit.units) == ("project/search/monthly/tokens/2024-03", 300)
    assert owned().term_at(MARCH - HOUR - 1).period == "2024-02"
    assert owned().first_period == ""


def test_a_balance_grows_with_each_payment_and_has_one_counter() -> None:
    paid = owned("prepaid", 0, (TopUp(MARCH, 5), TopUp(MARCH + DAY, 7)))
    terms = [paid.term_at(at) for at in (MARCH - 1, MARCH, MARCH + DAY - 1, MARCH + DAY)]
    assert [(term.begins, term.ends, term.limit.units) for term in terms] == [
        (0, MARCH, 0),
        (MARCH, MARCH + DAY, 5),
        (MARCH, MARCH + DAY, 5),
        (MARCH + DAY, END_OF_TIME, 12),
    ]
    assert {(term.period, term.limit.id) for term in terms} == {("", "project/search/prepaid/tokens")}
    assert paid.first_period == "2024-03"


def test_what_others_say_is_the_base_of_ones_own_counter() -> None:
    """One that is known counts for itself: what it held and counted is not counted for it."""
    of = owned()
    standing = Standing(of, of.term_at(MARCH).limit, "2024-03", 100, {"one": 30, "two": 5}, {"one": 20, "two": 8})
    assert [standing.weight.base(own) for own in ("none", "one", "two")] == [135, 85, 122]
    assert (standing.held_units, standing.percent) == (35, 33)
    nothing = owned(units=0)
    assert Standing(nothing, nothing.term_at(MARCH).limit, "2024-03", 0).percent == 100


@pytest.mark.parametrize(
    ("at", "periods"),
    [
        ("2024-01-15", (Period(2023, 12), Period(2024, 1), Period(2024, 2))),
        ("2024-12-31T22:59:59Z", (Period(2024, 11), Period(2024, 12), Period(2025, 1))),
        ("2024-12-31T23:00:00Z", (Period(2024, 12), Period(2025, 1), Period(2025, 2))),
    ],
)
def test_the_months_around(at: str, periods: tuple[Period, ...]) -> None:
    assert periods_around(parse_instant(at), BERLIN) == periods


def test_a_month_goes_on_as_its_days_so_far() -> None:
    of = owned()
    begins, ends = of.term_at(MARCH).begins, of.term_at(MARCH).ends
    standing = Standing(of, of.term_at(MARCH).limit, "2024-03", 100)
    assert [forecast(standing, at) for at in (begins, begins + (ends - begins) // 4, ends - 1, ends)] == [
        100,
        400,
        100,
        100,
    ]
    assert forecast(Standing(of, of.term_at(MARCH).limit, "", 100), MARCH) is None


def test_only_payments_from_the_first_on_count() -> None:
    paid = owned("prepaid", 0, (TopUp(MARCH, 5), TopUp(APRIL + DAY, 7)))
    assert paid.first_period == "2024-03"
    assert paid.term_at(MARCH).limit.refill == "budget"


def test_how_much_is_spent_is_told_in_whole_percent() -> None:
    budget = owned("total", 300)
    spent = [Standing(budget, budget.term_at(MARCH).limit, "", units).percent for units in (0, 149, 150, 299, 300, 600)]
    assert spent == [0, 49, 50, 99, 100, 200]


def test_places_in_the_log_are_in_its_order() -> None:
    places = [
        place_of(Standings(SCHEMA, MARCH, segment, offset)) for segment, offset in ((0, 7), (1, 5), (1, 6), (2, 0))
    ]
    assert places == sorted(set(places))
