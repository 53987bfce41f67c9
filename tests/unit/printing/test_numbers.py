"""Each language's own way, by example."""

from datetime import date

import pytest

from entrepot.core.periods import Period
from entrepot.printing.numbers import Numbers
from entrepot.printing.phrases import LANGUAGES

WAYS = {
    "en": ("1,234,567", "$1,234,567.80", "19%", "June 3, 2024", "May 2024"),
    "de": ("1.234.567", "1.234.567,80\u00a0$", "19\u00a0%", "3. Juni 2024", "Mai 2024"),
    "it": ("1.234.567", "1.234.567,80\u00a0USD", "19%", "3 giugno 2024", "maggio 2024"),
    "pt": ("1.234.567", "US$\u00a01.234.567,80", "19%", "3 de junho de 2024", "maio de 2024"),
    "id": ("1.234.567", "US$1.234.567,80", "19%", "3 Juni 2024", "Mei 2024"),
    "fr": ("1\u202f234\u202f567", "1\u202f234\u202f567,80\u00a0$US", "19\u00a0%", "3 juin 2024", "mai 2024"),
    "es": ("1.234.567", "1.234.567,80\u00a0US$", "19\u00a0%", "3 de junio de 2024", "mayo de 2024"),
    "ja": ("1,234,567", "$1,234,567.80", "19%", "2024年6月3日", "2024年5月"),
    "zh": ("1,234,567", "US$1,234,567.80", "19%", "2024年6月3日", "2024年5月"),
}


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_numbers_money_and_dates(code: str) -> None:
    numbers = Numbers(LANGUAGES[code].locale)
    assert (
        numbers.count("1234567"),
        numbers.money("1234567.80", "USD"),
        numbers.percent("19"),
        numbers.day(date(2024, 6, 3)),
        numbers.month(Period(2024, 5)),
    ) == WAYS[code]


def test_a_currency_has_its_own_digits_and_an_exact_amount_all_of_them() -> None:
    numbers = Numbers("de")
    assert numbers.money("187", "JPY") == "187\u00a0¥"
    assert numbers.money("379.160", "KWD") == "379,160\u00a0KWD"
    assert numbers.money("0.00201", "USD") == "0,00201\u00a0$"
    assert numbers.amount("12345678901234567890.123456789012") == "12.345.678.901.234.567.890,123456789012"
    assert numbers.percent("7.25") == "7,25\u00a0%"
