"""Credit on an invoice: bought once, drawn in its order, and moved by usage that comes late."""

from collections.abc import Sequence

from entrepot.core.invoices import InvoiceLine, LineKind
from entrepot.core.money import PICO, format_pico
from entrepot.core.periods import Period, parse_period
from entrepot.core.terms import Credit
from entrepot.invoicing.credits import credit_lines, granted_pico, unused_pico
from tests.support.billing import contract

JANUARY, FEBRUARY, MARCH, APRIL = (Period(2024, month) for month in (1, 2, 3, 4))


def credit(name: str, amount: int, first: Period, expires: Period, *, granted: bool = False) -> Credit:
    return Credit(name, amount * PICO, first.start("UTC"), expires.start("UTC"), granted)


def line(kind: LineKind, month: Period, amount: int, of: str = "") -> InvoiceLine:
    exact = format_pico(amount * PICO)
    return InvoiceLine(1, kind, str(month), "", "", "", "0", None, exact, f"{exact}.00", of)


def drafted(
    agreed: Sequence[Credit], period: Period, new: Sequence[InvoiceLine], earlier: Sequence[InvoiceLine] = ()
) -> list[tuple[str, Period, str, int]]:
    """(kind, month, credit, amount) of what credits add to the invoice of a period."""
    drafts = credit_lines(contract("acme", terms=tuple(agreed)), period, new, earlier)
    return [(item.kind, parse_period(item.period), item.price_class, item.exact_pico // PICO) for item in drafts]


def test_each_credit_is_bought_once_with_the_first_invoice_of_its_time() -> None:
    agreed = [
        credit("one", 5, JANUARY, APRIL),
        credit("two", 7, MARCH, APRIL),
        credit("gift", 9, JANUARY, APRIL, granted=True),
    ]
    assert drafted(agreed, FEBRUARY, []) == [("credit_bought", JANUARY, "one", 5)]
    bought = [line("credit_bought", JANUARY, 5, "one")]
    assert drafted(agreed, FEBRUARY, [], bought) == []
    assert drafted(agreed, MARCH, [], bought) == [("credit_bought", MARCH, "two", 7)]


def test_what_expires_first_pays_first_and_the_oldest_month_before_others() -> None:
    agreed = [
        credit("late", 10, JANUARY, APRIL, granted=True),
        credit("early", 4, JANUARY, MARCH, granted=True),
        credit("younger", 3, FEBRUARY, MARCH, granted=True),
    ]
    used = [
        line("usage", FEBRUARY, 8),
        line("usage", JANUARY, 3),
        line("shortfall", MARCH, 5),
        line("credit", MARCH, 9),
    ]
    assert drafted(agreed, MARCH, used) == [
        ("credit_used", JANUARY, "early", -3),
        ("credit_used", FEBRUARY, "early", -1),
        ("credit_used", FEBRUARY, "late", -4),
        ("credit_used", FEBRUARY, "younger", -3),
        ("credit_used", MARCH, "late", -5),
    ]


def test_usage_of_an_earlier_month_moves_what_was_paid_later() -> None:
    agreed = [credit("gift", 10, JANUARY, APRIL, granted=True)]
    earlier = [
        line("usage", FEBRUARY, 12),
        line("credit_used", FEBRUARY, -10, "gift"),
    ]
    assert drafted(agreed, MARCH, [line("adjustment", JANUARY, 4)], earlier) == [
        ("credit_used", JANUARY, "gift", -4),
        ("credit_used", FEBRUARY, "gift", 4),
    ]
    assert drafted(agreed, MARCH, [line("adjustment", FEBRUARY, -20)], earlier) == [
        ("credit_used", FEBRUARY, "gift", 10)
    ]


def test_what_is_left_and_what_was_given_is_of_its_own_lines() -> None:
    bought, gift = credit("one", 5, JANUARY, APRIL), credit("gift", 9, JANUARY, APRIL, granted=True)
    lines = [
        line("credit_bought", JANUARY, 5, "one"),
        line("credit_used", JANUARY, -3, "one"),
        line("credit_used", JANUARY, -4, "gift"),
        line("usage", JANUARY, 7, "gift"),
    ]
    assert (unused_pico(bought, lines), unused_pico(gift, lines)) == (2 * PICO, 5 * PICO)
    assert granted_pico(contract("acme", terms=(bought, gift)), lines) == -4 * PICO
