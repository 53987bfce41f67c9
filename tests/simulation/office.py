"""Who buys in a life, from whom, and at which prices: around the end of a month in several zones."""

import msgspec

from entrepot.core.catalog import Upstream
from entrepot.core.periods import parse_instant
from entrepot.core.world import World
from tests.oracle.cases import Case, Deal, Edition, Hours, Levy, Round, Row
from tests.oracle.product import world_of

BEGINS, LAST_CLOSE = parse_instant("2024-03-31T16:30:00Z"), parse_instant("2024-05-02")
MONTHS = ("2024-03", "2024-04")

_ROWS = (
    Row("m", "input_tokens", "default", "0.15", 10**6),
    Row("m", "input_tokens", "default", "0.27", 10**6, "peak"),
    Row("m", "cached_input_tokens", "default", "0.0375", 10**6),
    Row("m", "output_tokens", "default", "0", 10**6, mode="graduated", steps=((3000, "0.7"), (None, "0.6"))),
)
_PEAK = Hours("peak", "Asia/Kolkata", (0, 6), 30, 8 * 60)
OFFICE = Round(
    "half_up",
    (),
    MONTHS,
    (
        Case(
            "acme",
            (
                Deal(
                    *("acme", "2024-01-01", "", "Asia/Kolkata", "USD", "USD", "meter"),
                    (Edition("2024-01-01", _ROWS, (_PEAK,)), Edition("2024-04-01", _ROWS[:1] + _ROWS[2:])),
                    minimum="1",
                    levies=(Levy("GST", "18"),),
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
                    *("beta", "2024-04-01", "", "Europe/Berlin", "EUR", "EUR", "meter"),
                    (Edition("2024-01-01", (_ROWS[0], _ROWS[3])),),
                    discounts=(("12.5", ()),),
                ),
            ),
            (),
        ),
    ),
)


def world() -> World:
    """What is declared in every life."""
    upstream = Upstream("east", "openai", {"m": "m"}, "https://east.example/v1", usage_lookup=True)
    return msgspec.structs.replace(world_of(OFFICE), upstreams=(upstream,))
