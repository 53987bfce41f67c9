"""Who buys in a life, from whom, and at which prices: around the end of a month in several zones."""

import msgspec

from entrepot.core.agreements import Agreement
from entrepot.core.catalog import Upstream
from entrepot.core.money import PICO
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.prices import Price, PriceBookVersion
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.subscriptions import Assignment, SeatsFrom, Subscription
from entrepot.core.tenancy import Contract, Customer, Deployment, Project
from entrepot.core.terms import SHARE, Reservation
from entrepot.core.world import World
from tests.oracle.cases import Case, Deal, Edition, Hours, Levy, Round, Row, Voucher
from tests.oracle.product import world_of

BEGINS, LAST_CLOSE = parse_instant("2024-03-31T16:30:00Z"), parse_instant("2024-05-02")
MONTHS = ("2024-03", "2024-04")

_ROWS = (
    Row("m", "input_tokens", "default", "150", 10**6),
    Row("m", "input_tokens", "default", "270", 10**6, "peak"),
    Row("m", "cached_input_tokens", "default", "37.5", 10**6),
    Row("m", "output_tokens", "default", "0", 10**6, mode="graduated", steps=((3000, "700"), (None, "600"))),
)
_PEAK = Hours("peak", "Asia/Kolkata", (0, 6), 30, 8 * 60)
OFFICE = Round(
    "half_up",
    (
        ("USD", "EUR", "2024-01-01", "0.92"),
        ("USD", "EUR", "2024-04-20", "0.94"),
        ("EUR", "USD", "2024-01-01", "1.08"),
        ("JPY", "USD", "2024-01-01", "0.0067"),
    ),
    MONTHS,
    (
        Case(
            "acme",
            (
                Deal(
                    *("acme", "2024-01-01", "", "Asia/Kolkata", "USD", "USD", "meter"),
                    (Edition("2024-01-01", _ROWS, (_PEAK,)), Edition("2024-04-01", _ROWS[:1] + _ROWS[2:])),
                    minimum="4",
                    levies=(Levy("GST", "18"),),
                    cap="6",
                    credits=(
                        Voucher("credit-1", "5", "2024-03", "2024-05", granted=False),
                        Voucher("credit-2", "2", "2024-03", "2024-04", granted=True),
                        Voucher("credit-3", "3", "2024-03", "2024-04", granted=False),
                    ),
                ),
            ),
            (),
        ),
        Case(
            "beta",
            (
                Deal(
                    *("beta", "2024-01-01", "2024-04-01", "Europe/Berlin", "JPY", "JPY", "model"),
                    (Edition("2024-01-01", (_ROWS[0], _ROWS[3])),),
                ),
                Deal(
                    *("beta", "2024-04-01", "", "Europe/Berlin", "EUR", "USD", "meter"),
                    (Edition("2024-01-01", (_ROWS[0], _ROWS[3])),),
                    discounts=(("12.5", ()),),
                    cap="1",
                ),
            ),
            (),
        ),
    ),
)


# Who pays for what stands, and makes no request: units across the end of a month, part of them reserved, and seats.
_MARCH, _NEVER = parse_instant("2024-03-01"), END_OF_TIME
_UNITS = {
    "annex": (("2024-03-31T22:00:00Z", 30), ("2024-03-31T23:00:00Z", 0)),
    "units": (("2024-03-31T22:20:00Z", 100), ("2024-03-31T23:30:00Z", 150), ("2024-04-01T01:15:00Z", 0)),
}
_RESERVED = Reservation(
    "reservation-1",
    100,
    350_000_000_000,
    parse_instant("2024-03-31T22:00:00Z"),
    parse_instant("2024-04-01T02:00:00Z"),
    ("m",),
)
_SEATS = (SeatsFrom(_MARCH, 10), SeatsFrom(parse_instant("2024-04-16"), 12))
_TEN_DAYS = parse_instant("2024-04-11"), parse_instant("2024-04-21")
_ASSIGNED = tuple(Assignment(f"user-{number}", *_TEN_DAYS) for number in range(14))
STANDING = "delta"
# Unit minutes above what is reserved, 30 x 40 + 50 x 30 and 50 x 75; 200 unit hours in each month; 10 seats. In April
# 2 more for 15 of 30 days, and, since 14 were assigned, 4 more for 5 days and 2 for 15.
STANDING_LINES = {
    "2024-03": ["45.00", "70.00", "300.00"],
    "2024-04": ["62.50", "70.00", "300.00", "30.00", "50.00"],
}
AGREEMENT = Agreement("own/resale_share@always", "own", "resale_share", "pay", 0, _NEVER, "USD", share=SHARE // 5)


def world() -> World:
    """What is declared in every life."""
    upstream = Upstream("east", "openai", {"m": "m"}, "https://east.example/v1", usage_lookup=True)
    made = world_of(OFFICE)
    book = PriceBookVersion("units@1", "units", _MARCH, (Price("m", "provisioned_unit_hours", "default", PICO),))
    units = {name: tuple(UnitsFrom(parse_instant(at), count) for at, count in of) for name, of in _UNITS.items()}
    return msgspec.structs.replace(
        made,
        upstreams=(upstream,),
        price_books=(*made.price_books, book),
        customers=(*made.customers, Customer(STANDING, STANDING)),
        contracts=(
            *made.contracts,
            Contract(STANDING, STANDING, _MARCH, _NEVER, "units", "USD", "UTC", terms=(_RESERVED,)),
        ),
        projects=(*made.projects, Project("works", STANDING)),
        deployments=tuple(Deployment(name, "works", "m", "provisioned", units=of) for name, of in units.items()),
        agreements=(AGREEMENT,),
        subscriptions=(Subscription("desk", STANDING, "desk", 30 * PICO, _MARCH, _NEVER, 12, 1, _SEATS, _ASSIGNED),),
    )
