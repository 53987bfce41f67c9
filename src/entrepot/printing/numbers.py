"""Numbers, money and dates in a language's own way, exact: what is printed reads back as what was written."""

from copy import copy
from datetime import date
from decimal import Context, Decimal, localcontext

from babel import Locale
from babel.dates import format_date, format_skeleton
from babel.numbers import NumberPattern, get_currency_name

from entrepot.core.money import minor_digits
from entrepot.core.periods import Period

# 20 digits before the point and 12 behind it are the most that an amount has (core.money).
_DIGITS = 40


class Numbers:
    """How a locale of CLDR writes them. Amounts come in, and are, decimal strings."""

    def __init__(self, locale: str) -> None:
        self._locale = Locale.parse(locale)

    def count(self, text: str) -> str:
        """A number with its groups, with all digits that it has."""
        return self._shaped(self._locale.decimal_formats[None], text, _fraction(text))

    def amount(self, text: str, digits_min: int = 0) -> str:
        """An amount without its currency, with all digits that it has and at least so many behind the point."""
        return self._shaped(self._locale.decimal_formats[None], text, max(_fraction(text), digits_min))

    def money(self, text: str, currency: str) -> str:
        """An amount with the currency's sign where the locale puts it, with the digits of the currency or more."""
        digits = max(_fraction(text), minor_digits(currency))
        return self._shaped(self._locale.currency_formats["standard"], text, digits, currency)

    def percent(self, text: str) -> str:
        """A number of per cent."""
        hundredth = str(Decimal(text).scaleb(-2, Context(prec=_DIGITS)))
        return self._shaped(self._locale.percent_formats[None], hundredth, _fraction(text))

    def _shaped(self, pattern: NumberPattern, text: str, digits: int, currency: str | None = None) -> str:
        exact = copy(pattern)
        exact.frac_prec = (digits, digits)
        with localcontext(Context(prec=_DIGITS)):
            shaped: str = exact.apply(Decimal(text), self._locale, currency=currency, currency_digits=False)
        return shaped

    def currency(self, code: str) -> str:
        """A currency by its name and code: "US dollar (USD)"."""
        name = get_currency_name(code, locale=self._locale)
        return code if name == code else f"{name} ({code})"

    def day(self, day: date) -> str:
        """A date, with the name of its month."""
        return format_date(day, "long", locale=self._locale)

    def days(self, first: date, last: date) -> str:
        """From the first day to the last, both included; a line may end between them, not within one."""
        return " – ".join(self.day(day).replace(" ", "\N{NO-BREAK SPACE}") for day in (first, last))

    def month(self, period: Period) -> str:
        """A month with its year."""
        return format_skeleton("yMMMM", date(period.year, period.month, 1), locale=self._locale)


def _fraction(text: str) -> int:
    """How many digits are behind the point."""
    return len(text.partition(".")[2])
