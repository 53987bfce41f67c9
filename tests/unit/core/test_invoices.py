"""Where a line stands among others, and what it is called."""

import pytest

from entrepot.core.invoices import InvoiceLine, LineDraft, LineKind


def place(unit_pico: int | None, kind: LineKind = "usage", month: str = "2024-03") -> tuple[object, ...]:
    return LineDraft(month, "m", "input_tokens", "default", 1, 1, unit_pico, kind).place


def test_lines_without_a_unit_price_stand_before_those_with_one() -> None:
    assert place(None) < place(0) < place(1) < place(2)


def test_usage_stands_before_overage_and_what_has_no_requests_behind_it_last() -> None:
    assert place(1, "adjustment") < place(1, "usage") < place(1, "overage", "2024-01") < place(1, "minimum", "2024-01")


@pytest.mark.parametrize(
    ("kind", "meter", "tier", "price_class", "title"),
    [
        ("usage", "output_tokens", "batch", "peak", "output_tokens, batch, peak"),
        ("overage", "output_tokens", "default", "", "output_tokens"),
        ("usage", "", "", "", "all meters"),
        ("credit", "output_tokens", "default", "", "output_tokens"),
        ("credit", "", "", "", "all meters"),
        ("minimum", "", "", "", "minimum"),
        ("credit_used", "", "", "credit-1", "credit used, credit-1"),
    ],
)
def test_a_line_is_called_by_what_it_counts_or_is(
    kind: LineKind, meter: str, tier: str, price_class: str, title: str
) -> None:
    assert InvoiceLine(1, kind, "2024-03", "m", meter, tier, "1", None, "1", "1.00", price_class).title == title
