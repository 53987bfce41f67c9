"""Two bills of the same usage beside each other."""

import msgspec

from entrepot.core.invoices import Invoice
from entrepot.reporting.price_lines import customer_diffs
from tests.support.billing import invoice

USD, EUR = invoice("2024-03-000001"), msgspec.structs.replace(invoice("2024-03-000002"), currency="EUR")


def told(old: list[Invoice], new: list[Invoice]) -> list[tuple[str, str, str, str, str | None]]:
    """(currency, new currency, old, new, difference) of each row of customer acme."""
    rows = customer_diffs(old, new, "2024-03", {"acme": "Acme"})
    return [(row.currency, row.new_currency, row.old, row.new, row.difference) for row in rows]


def test_a_customer_whose_currency_changed_within_the_month_has_a_row_for_each() -> None:
    assert told([USD, EUR], [USD, USD]) == [
        ("EUR", "EUR", "1.00", "0.00", "-1.00"),
        ("USD", "USD", "1.00", "2.00", "1.00"),
    ]
    assert told([USD, EUR], []) == [("EUR", "EUR", "1.00", "0.00", "-1.00"), ("USD", "USD", "1.00", "0.00", "-1.00")]


def test_a_new_currency_stands_beside_the_old_one_and_is_not_taken_off_it() -> None:
    assert told([USD], [EUR]) == [("USD", "EUR", "1.00", "1.00", None)]
    assert told([USD], [USD]) == [("USD", "USD", "1.00", "1.00", "0.00")]
    assert told([], [EUR]) == [("EUR", "EUR", "0.00", "1.00", "1.00")]
