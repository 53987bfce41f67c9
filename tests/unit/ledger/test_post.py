"""Charges and invoices into balanced entries."""

import msgspec

from entrepot.core.charges import Charge
from entrepot.core.invoices import LineKind, TaxLine, Totals
from entrepot.core.journal import GENESIS, JournalEntry, Posting, chain
from entrepot.ledger.post import invoice_entry, journal_faults, usage_entry, usage_key
from tests.support.billing import MARCH, SERIES, invoice


def charge(amount: int, meter: str = "input_tokens", **changes: str) -> Charge:
    return Charge(msgspec.structs.replace(SERIES, **changes), meter, MARCH, 1, amount, amount, meter)


def test_an_hour_is_one_entry_with_a_leg_per_price() -> None:
    charges = [
        charge(5),
        charge(7, deployment="other"),
        charge(1, "output_tokens"),
        charge(2, tier="batch"),
        charge(3, price_version="list@2024-02-01"),
        charge(4, model="n"),
        charge(0, "images"),
    ]
    key = usage_key("acme@2024-01-01", MARCH, 2)
    assert usage_entry(key, "USD", charges) == JournalEntry(
        key=f"usage:acme@2024-01-01:{MARCH}:2",
        kind="usage",
        at=MARCH,
        postings=(
            Posting("assets:receivable:accrued:acme", "USD", 22),
            Posting("income:usage:m", "USD", -2),
            Posting("income:usage:m", "USD", -12),
            Posting("income:usage:m", "USD", -3),
            Posting("income:usage:m", "USD", -1),
            Posting("income:usage:n", "USD", -4),
        ),
    )


def test_an_invoice_moves_the_exact_and_posts_terms_taxes_and_the_residual() -> None:
    cent = 10**10
    paper = msgspec.structs.replace(
        invoice("2024-03-000001"), net="1.00", tax="0.20", total="1.20", taxes=(TaxLine("vat", "20", "1.00", "0.20"),)
    )
    exact: dict[LineKind, int] = {
        "usage": 60 * cent + 7,
        "adjustment": -3,
        "overage": 10 * cent,
        "commitment": -30 * cent,
        "purchase": 50 * cent,
        "shortfall": -20 * cent,
        "minimum": 30 * cent,
    }
    made = invoice_entry(paper, Totals(net_pico=100 * cent, exact_pico=exact), "USD", 75 * cent, exact, MARCH)
    assert made.key == "invoice:2024-03-000001"
    assert made.postings == (
        Posting("assets:receivable:invoiced:acme", "USD", 120 * cent),
        Posting("assets:receivable:accrued:acme", "USD", -75 * cent),
        Posting("income:discounts", "USD", 5 * cent - 4),
        Posting("liabilities:commitment:acme", "USD", -20 * cent),
        Posting("income:shortfalls", "USD", 20 * cent),
        Posting("income:minimums", "USD", -30 * cent),
        Posting("liabilities:tax:vat", "USD", -20 * cent),
        Posting("income:rounding", "USD", 4),
    )


def test_each_currency_balances_where_prices_are_in_another_one() -> None:
    totals = Totals(net_pico=10**12, exact_pico={"usage": 8 * 10**11 + 5, "minimum": 2 * 10**11})
    made = invoice_entry(invoice("2024-03-000001"), totals, "EUR", 7, {"usage": 6}, MARCH)
    assert made.postings == (
        Posting("assets:receivable:invoiced:acme", "USD", 10**12),
        Posting("assets:receivable:accrued:acme", "EUR", -7),
        Posting("income:discounts", "EUR", 1),
        Posting("equity:exchange", "EUR", 6),
        Posting("equity:exchange", "USD", -8 * 10**11 - 5),
        Posting("income:minimums", "USD", -2 * 10**11),
        Posting("income:rounding", "USD", 5),
    )


def test_faults_of_a_journal_are_named() -> None:
    good = usage_entry("k", "USD", [charge(5)])
    off = JournalEntry(key="l", kind="usage", at=MARCH, postings=(Posting("a", "USD", 1),))
    first = chain(GENESIS, good)
    second = chain(first, off)
    assert list(journal_faults([(good, first), (good, chain(first, good))])) == []
    assert list(journal_faults([(good, first), (off, second)])) == [
        "journal entry 2 (l) does not balance: {'USD': 1} pico"
    ]
    assert list(journal_faults([(good, second)])) == [
        "journal entry 1 (k) does not follow from the entry before it: it was altered"
    ]
