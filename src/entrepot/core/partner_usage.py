"""What partners say they served and charge for, and by which rules it is held against what we counted."""

from typing import Final, Literal

import msgspec

from entrepot.core.money import PICO, format_pico, parse_pico
from entrepot.core.periods import SECOND, Instant
from entrepot.core.tokens import METERS

ReportedKind = Literal["usage", "cost"]
COST: Final = "cost"  # What a tolerance is of, beside the meters.
ANY = "any"


class ReportedRow(msgspec.Struct, frozen=True, array_like=True):
    """What a partner says of one day, one account, one key and one thing that it charges for; amounts as decimal text.

    item: its name of that thing: a model, or a line of its price list. meter: ours, where the file's shape says it.
    quantity, cost: "" where the file does not tell it. quantity_slack, cost_slack: how far rounding may have gone.
    """

    starts: Instant
    account: str
    key: str
    item: str
    meter: str
    quantity: str = ""
    cost: str = ""
    currency: str = ""
    quantity_slack: str = "0"
    cost_slack: str = "0"

    @property
    def cell(self) -> tuple[Instant, str, str, str, str]:
        """What a later file replaces, and what rows of one file are summed in."""
        return self.starts, self.account, self.key, self.item, self.meter


class Tolerance(msgspec.Struct, frozen=True):
    """How much a day of a model and an upstream may differ in a meter, in cost or in any: the greater of the two.

    share: of what we counted, in parts of 10^12. least_pico: units or money, in pico.
    """

    of: str
    share: int = 0
    least_pico: int = 0


# A hundredth of a per cent, a tenth of the smallest leak to be found; and a cent, since costs are often rounded.
DEFAULT_TOLERANCES = (
    Tolerance(ANY, share=PICO // 10_000),
    Tolerance(COST, share=PICO // 10_000, least_pico=PICO // 100),
)


class PartnerCharges(msgspec.Struct, frozen=True):
    """How a partner's files are to be read. upstreams: {its name of a key or a resource: our upstream}.

    items: {its name of what it charges for: our model, or "model/meter"}. price_book: what we pay it, or "".
    zone: its days are cut in. skew_us: how far its clocks may be from ours.
    """

    upstreams: dict[str, str] = {}
    items: dict[str, str] = {}
    price_book: str = ""
    zone: str = "UTC"
    skew_us: int = 5 * SECOND
    tolerances: tuple[Tolerance, ...] = DEFAULT_TOLERANCES

    def allowed_pico(self, of: str, counted_pico: int) -> int:
        """How much may differ, in pico, by the first tolerance of it, or else the first of any."""
        for name in (of, ANY):
            for tolerance in self.tolerances:
                if tolerance.of == name:
                    return max(tolerance.least_pico, abs(counted_pico) * tolerance.share // PICO)
        return 0


def charged_for(declared: str) -> tuple[str, str]:
    """(our model, the meter or "") of "model" or "model/meter"; the id of a model may have slashes of its own."""
    model, _, meter = declared.rpartition("/")
    return (model, meter) if meter in METERS else (declared, "")


def summed(one: ReportedRow, other: ReportedRow) -> ReportedRow:
    """Two rows of one cell of one file as one."""
    return msgspec.structs.replace(
        one,
        quantity=_sum(one.quantity, other.quantity),
        cost=_sum(one.cost, other.cost),
        currency=one.currency or other.currency,
        quantity_slack=_sum(one.quantity_slack, other.quantity_slack),
        cost_slack=_sum(one.cost_slack, other.cost_slack),
    )


def _sum(one: str, other: str) -> str:
    if not one or not other:
        return one or other
    return format_pico(parse_pico(one) + parse_pico(other))
