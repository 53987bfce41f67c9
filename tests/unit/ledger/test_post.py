"""Charges and invoices into balanced entries."""

import msgspec

from entrepot.core.charges import Charge
from entrepot.core.invoices import InvoiceLine, LineKind, TaxLine, Totals
from entrepot.core.journal import GENESIS, JournalEntry, Posting, chain
from entrepot.core.statements import Statement, StatementItem
from entrepot.core.tokens import RESERVED_MINUTES
from entrepot.ledger.post import (
    breakage_entry,
    breakage_key,
    credit_entry,
    forfeit_entry,
    forfeit_key,
    free_key,
    invoice_entry,
    journal_faults,
    settlement_entry,
    usage_entry,
    usage_key,
)
from tests.support.billing import MARCH, SERIES, invoice

CENT = 10**10


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


def test_reserved_units_earn_for_themselves() -> None:
    made = usage_entry("k", "USD", [charge(5), charge(7, RESERVED_MINUTES)])
    assert [(leg.account, leg.amount_pico) for leg in made.postings] == [
        ("assets:receivable:accrued:acme", 12),
        ("income:reservations", -7),
        ("income:usage:m", -5),
    ]


def test_the_next_revision_is_the_first_that_is_not_there() -> None:
    taken = {usage_key("c", 7, 0), usage_key("c", 7, 1), usage_key("c", 8, 2)}
    assert free_key(taken.__contains__, lambda revision: usage_key("c", 7, revision)) == "usage:c:7:2"
    assert free_key(taken.__contains__, lambda revision: breakage_key("c", "credit-1", revision)) == (
        "breakage:c:credit-1:0"
    )
    assert forfeit_key("c", 7, 1) == "forfeit:c:7:1"


def test_an_invoice_moves_the_exact_and_posts_terms_taxes_and_the_residual() -> None:
    paper = msgspec.structs.replace(
        invoice("2024-03-000001"), net="1.00", tax="0.20", total="1.20", taxes=(TaxLine("vat", "20", "1.00", "0.20"),)
    )
    exact: dict[LineKind, int] = {
        "usage": 60 * CENT + 7,
        "adjustment": -3,
        "overage": 10 * CENT,
        "commitment": -30 * CENT,
        "purchase": 50 * CENT,
        "shortfall": -20 * CENT,
        "minimum": 30 * CENT,
    }
    made = invoice_entry(paper, Totals(net_pico=100 * CENT, exact_pico=exact), "USD", 75 * CENT, exact, MARCH)
    assert (made.key, made.kind, made.at) == ("invoice:2024-03-000001", "invoice", MARCH)
    assert made.postings == (
        Posting("assets:receivable:invoiced:acme", "USD", 120 * CENT),
        Posting("assets:receivable:accrued:acme", "USD", -75 * CENT),
        Posting("income:discounts", "USD", 5 * CENT - 4),
        Posting("liabilities:commitment:acme", "USD", -20 * CENT),
        Posting("income:shortfalls", "USD", 20 * CENT),
        Posting("income:minimums", "USD", -30 * CENT),
        Posting("liabilities:tax:vat", "USD", -20 * CENT),
        Posting("income:rounding", "USD", 4),
    )


def test_an_invoice_posts_seats_caps_and_credit_by_name() -> None:
    """Of 40 that credit pays, 15 are granted: those are income given up, the rest was owed to the customer."""
    paper = msgspec.structs.replace(invoice("2024-03-000001"), net="1.00", total="1.00")
    exact: dict[LineKind, int] = {
        "usage": 50 * CENT,
        "reservation": 5 * CENT,
        "subscription": 30 * CENT,
        "cap": -20 * CENT,
        "credit_bought": 75 * CENT,
        "credit_used": -40 * CENT,
    }
    made = invoice_entry(paper, Totals(100 * CENT, exact), "USD", 55 * CENT, exact, MARCH, granted_pico=-15 * CENT)
    assert made.postings == (
        Posting("assets:receivable:invoiced:acme", "USD", 100 * CENT),
        Posting("assets:receivable:accrued:acme", "USD", -55 * CENT),
        Posting("income:subscriptions", "USD", -30 * CENT),
        Posting("income:caps", "USD", 20 * CENT),
        Posting("liabilities:credit:acme", "USD", -50 * CENT),
        Posting("income:grants", "USD", 15 * CENT),
    )


def test_what_is_agreed_in_the_invoices_currency_is_not_exchanged() -> None:
    """Of all lines only usage came through the clearing account."""
    exact: dict[LineKind, int] = {
        "usage": 8 * CENT,
        "minimum": CENT,
        "subscription": 2 * CENT,
        "cap": -CENT,
        "credit_bought": 5 * CENT,
        "credit_used": -3 * CENT,
    }
    paper = msgspec.structs.replace(invoice("2024-03-000001"), net="0.12", total="0.12")
    made = invoice_entry(paper, Totals(12 * CENT, exact), "EUR", 7, {"usage": 7}, MARCH)
    assert {leg.currency: leg.amount_pico for leg in made.postings if leg.account == "equity:exchange"} == {
        "EUR": 7,
        "USD": -8 * CENT,
    }


def test_a_credit_note_gives_back_income_and_tax() -> None:
    lines = (
        InvoiceLine(1, "credit", "2024-03", "m", "input_tokens", "default", "0", None, "-1", "-1.00"),
        InvoiceLine(2, "credit", "2024-03", "", "", "", "0", None, "-0.5", "-0.50"),
    )
    taxes = (TaxLine("vat", "20", "-1.50", "-0.30"),)
    note = msgspec.structs.replace(invoice("2024-04-C00001"), lines=lines, taxes=taxes, total="-1.80")
    assert credit_entry(note, MARCH) == JournalEntry(
        key="credit:2024-04-C00001",
        kind="credit",
        at=MARCH,
        postings=(
            Posting("assets:receivable:invoiced:acme", "USD", -180 * CENT),
            Posting("income:credits:m", "USD", 100 * CENT),
            Posting("income:credits", "USD", 50 * CENT),
            Posting("liabilities:tax:vat", "USD", 30 * CENT),
        ),
    )


def test_what_is_lost_is_owed_no_more() -> None:
    assert breakage_entry("b", "acme", "EUR", 5, MARCH) == JournalEntry(
        "b", "breakage", MARCH, (Posting("liabilities:credit:acme", "EUR", 5), Posting("income:breakage", "EUR", -5))
    )
    assert forfeit_entry("f", "acme", "EUR", 5, MARCH) == JournalEntry(
        "f",
        "forfeit",
        MARCH,
        (Posting("liabilities:commitment:acme", "EUR", 5), Posting("income:shortfalls", "EUR", -5)),
    )


def test_a_statement_is_owed_both_ways_and_not_netted() -> None:
    items = (
        StatementItem("a", "resale_share", "pay", "10.00", "20", "2.00"),
        StatementItem("b", "capacity_rental", "receive", "3", "1", "3.00"),
    )
    made = Statement("2024-03-own-1", "2024-03", "own", "Own", "USD", "2024-04-02T00:00:00Z", items, "1.00")
    assert settlement_entry(made, MARCH) == JournalEntry(
        key="statement:2024-03-own-1",
        kind="statement",
        at=MARCH,
        postings=(
            Posting("expenses:partner:own:resale_share", "USD", 200 * CENT),
            Posting("liabilities:partner:own", "USD", -200 * CENT),
            Posting("assets:partner:own", "USD", 300 * CENT),
            Posting("income:partner:own:capacity_rental", "USD", -300 * CENT),
        ),
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
