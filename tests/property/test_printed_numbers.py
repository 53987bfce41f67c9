"""What is printed reads back as what was written, in every language."""

import re
from decimal import Context, Decimal, localcontext

import pytest
from babel import Locale
from babel.numbers import parse_decimal
from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.money import format_minor, format_pico, minor_digits, round_to_minor
from entrepot.printing.numbers import Numbers
from entrepot.printing.phrases import LANGUAGES

PICO = st.integers(min_value=-(10**32) + 1, max_value=10**32 - 1)
LOCALES = pytest.mark.parametrize("locale", [language.locale for language in LANGUAGES.values()])
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "KWD", "IDR", "BRL", "CNY", "XAF"])


def read_back(text: str, locale: str) -> Decimal:
    """The number in a printed text, by the locale's own marks."""
    symbols = Locale.parse(locale).number_symbols["latn"]
    marks = "".join(re.escape(symbols[name]) for name in ("decimal", "group", "minusSign"))
    kept = re.sub(rf"[^0-9{marks}]", "", re.sub(r"\A[^0-9]*?(-?)[^0-9-]*(?=[0-9])", r"\1", text).rstrip(". "))
    with localcontext(Context(prec=50)):
        return parse_decimal(re.sub(r"\D+\Z", "", kept), locale=locale)


@LOCALES
@given(pico=PICO)
def test_an_exact_amount(locale: str, pico: int) -> None:
    written = format_pico(pico)
    assert read_back(Numbers(locale).amount(written, 2), locale) == Decimal(written)


@LOCALES
@given(pico=PICO, currency=CURRENCIES)
def test_money_with_its_sign(locale: str, pico: int, currency: str) -> None:
    written = format_minor(round_to_minor(pico, currency), currency)
    printed = Numbers(locale).money(written, currency)
    assert read_back(printed, locale) == Decimal(written)
    digits = re.findall(r"\d", printed)
    assert "".join(digits) == re.sub(r"\D", "", written)
    assert len(written.partition(".")[2]) == minor_digits(currency)


@LOCALES
@given(count=st.integers(min_value=-(10**18), max_value=10**18))
def test_a_count(locale: str, count: int) -> None:
    assert read_back(Numbers(locale).count(str(count)), locale) == count


@LOCALES
@given(millionths=st.integers(min_value=0, max_value=10**9))
def test_a_percentage(locale: str, millionths: int) -> None:
    written = format_pico(millionths * 10**6)
    assert read_back(Numbers(locale).percent(written), locale) == Decimal(written)
