"""Amounts that 64 bits of micro do not hold: a day of a large customer in a small currency."""

from entrepot.core.log_records import MonthClosed
from entrepot.core.money import PICO
from entrepot.core.prices import Price
from entrepot.flows.compare_books import check
from tests.support.billing import APRIL, MARCH, applied, contract, folded, recorded, usage, version, world

RECORDS, EACH = 30, 900_000_000  # Of dong: each record is near the most that is believed of one.
HOURS = 400


def test_an_invoice_may_come_to_more_than_nine_trillion() -> None:
    prices = version((Price("m", "images", "default", PICO),))
    declared = world(prices, contracts=[contract("acme", currency="VND")])
    events = [
        usage(f"{number}", MARCH + number * 3_600_000_000 % (HOURS * 3_600_000_000), meters={"images": EACH})
        for number in range(RECORDS * HOURS)
    ]
    books = folded(applied(declared), *recorded(*events), MonthClosed(at=APRIL, period="2024-03"), batch=5000)
    total = RECORDS * HOURS * EACH
    assert total > 2**63 // 10**6
    assert books.invoices()[0].total == str(total)
    assert books.balances() == {
        ("assets:receivable:invoiced:acme", "VND"): total * PICO,
        ("income:usage:m", "VND"): -total * PICO,
    }
    assert list(check(books)) == []
