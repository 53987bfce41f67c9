"""Where a line stands among others."""

from entrepot.core.invoices import LineDraft, LineKind


def place(unit_pico: int | None, kind: LineKind = "usage", month: str = "2024-03") -> tuple[object, ...]:
    return LineDraft(month, "m", "input_tokens", "default", 1, 1, unit_pico, kind).place


def test_lines_without_a_unit_price_stand_before_those_with_one() -> None:
    assert place(None) < place(0) < place(1) < place(2)


def test_usage_stands_before_overage_and_what_has_no_requests_behind_it_last() -> None:
    assert place(1, "adjustment") < place(1, "usage") < place(1, "overage", "2024-01") < place(1, "minimum", "2024-01")
