"""Invoices against a second calculation that shares no code with the product: fractions, decimals, calendar dates."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.adapters.sql.books import open_books
from entrepot.bills import bill
from entrepot.core.usage_event import UsageEvent
from tests.support.billing import contract, prices, usage, version, world

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe"]
DIGITS = {"USD": 2, "JPY": 0, "KWD": 3}
WHOLE = {"cached_input_tokens": "input_tokens", "reasoning_tokens": "output_tokens"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Per million, as published: at most six digits after the point.
PER_MILLION = st.builds(lambda whole, part: f"{whole}.{part:06d}", st.integers(0, 200), st.integers(0, 999_999))
QUANTITIES = st.one_of(st.integers(0, 3), st.integers(0, 10**7), st.integers(10**11, 10**12))
EVENTS = st.lists(
    st.builds(
        lambda seconds, meters: (seconds, meters),
        st.integers(-2 * 86400, 33 * 86400),
        st.dictionaries(
            st.sampled_from(["input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"]), QUANTITIES
        ),
    ),
    max_size=12,
)


@settings(max_examples=250)
@given(
    st.fixed_dictionaries(dict.fromkeys(("input_tokens", "output_tokens"), PER_MILLION)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(WHOLE, PER_MILLION)),
    EVENTS,
    st.sampled_from(ZONES),
    st.sampled_from(sorted(DIGITS)),
    st.sampled_from(["half_up", "half_even"]),
    st.sampled_from(["meter", "model"]),
)
def test_an_invoice_is_what_fractions_say(
    whole: dict[str, str],
    parts: dict[str, str],
    drawn: list[tuple[int, dict[str, int]]],
    zone: str,
    currency: str,
    rounding: str,
    grain: str,
) -> None:
    published = {**whole, **parts}
    events = [
        usage(f"{number:032x}", 1_709_251_200_000_000 + seconds * 1_000_000, meters=meters)
        for number, (seconds, meters) in enumerate(drawn)
    ]
    declared = world(
        version(prices(*(("m", meter, price) for meter, price in published.items()))),
        contracts=[contract("acme", zone=zone, currency=currency, line_grain=grain)],
        rounding=rounding,  # type: ignore[arg-type]
    )
    books = open_books(":memory:")
    printed = bill(books, declared, events, "2024-03")
    books.close()
    told = [
        {"meter": line.meter, "quantity": line.quantity, "exact": Fraction(line.exact), "amount": line.amount}
        for invoice in printed.invoices
        for line in invoice.lines
    ]
    expected = oracle(published, events, zone, currency, rounding, grain)
    assert told == expected
    for invoice in printed.invoices:
        assert Decimal(invoice.total) == sum(Decimal(str(line["amount"])) for line in expected)
        left = sum((Fraction(str(line["exact"])) for line in expected), Fraction()) - Fraction(invoice.total)
        assert Fraction(invoice.residual) == left


def oracle(
    published: dict[str, str], events: list[UsageEvent], zone: str, currency: str, rounding: str, grain: str
) -> list[dict[str, object]]:
    """The lines of March, worked out the long way."""
    quantities: dict[tuple[str, str], int] = defaultdict(int)
    amounts: dict[tuple[str, str], Fraction] = defaultdict(Fraction)
    for event in events:
        local = (EPOCH + timedelta(microseconds=event.admitted_at)).astimezone(ZoneInfo(zone))
        if (local.year, local.month) != (2024, 3):
            continue
        for meter, quantity in event.meters.items():
            priced = meter if meter in published else WHOLE[meter]
            key = (priced, published[priced]) if grain == "meter" else ("", "")
            quantities[key] += quantity
            amounts[key] += Fraction(published[priced]) / 1_000_000 * quantity
    return [
        {
            "meter": meter,
            "quantity": str(quantity),
            "exact": amounts[meter, price],
            "amount": _rounded(amounts[meter, price], currency, rounding),
        }
        for (meter, price), quantity in sorted(quantities.items())
        if quantity or amounts[meter, price]
    ]


def _rounded(amount: Fraction, currency: str, rounding: str) -> str:
    wide = Context(prec=60)
    exact = wide.divide(Decimal(amount.numerator), Decimal(amount.denominator))
    mode = ROUND_HALF_UP if rounding == "half_up" else ROUND_HALF_EVEN
    return str(exact.quantize(Decimal(1).scaleb(-DIGITS[currency]), rounding=mode, context=wide))
