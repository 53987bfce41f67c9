"""Invoices: lines rounded once, their sum, and the residual that ties them to the ledger."""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from entrepot.core.money import Rounding, format_minor, format_parts, format_pico, round_to_minor
from entrepot.core.parties import Party
from entrepot.core.periods import Period

# usage: of the invoice's own period; adjustment: of an earlier one, or late. overage: usage beyond a commitment.
# commitment: what usage has drawn from a prepaid one; purchase: the price of one; shortfall: what was not spent of one
# that is not prepaid. minimum: what usage leaves of a month's minimum. credit: of a credit note. reservation: the hours
# of one. subscription: seats. credit_bought: the price of prepaid credit; credit_used: what was paid from credit. cap:
# what is not billed above one.
# fmt: off
LineKind = Literal[
    "usage", "adjustment", "overage", "reservation", "subscription", "commitment", "purchase", "shortfall",
    "minimum", "cap", "credit_bought", "credit_used", "credit",
]
# fmt: on

# Of lines with requests behind them; they stand before all others.
USAGE_KINDS: tuple[LineKind, ...] = ("usage", "adjustment", "overage")
# Of lines that readings are behind: they were accrued hour by hour.
ACCRUED_KINDS: tuple[LineKind, ...] = (*USAGE_KINDS, "reservation")
# Of lines that say what a month comes to, before it is made up to a minimum.
MONTHLY_KINDS: tuple[LineKind, ...] = (*ACCRUED_KINDS, "subscription")
# Of lines that credit pays.
PAID_KINDS: tuple[LineKind, ...] = (*MONTHLY_KINDS, "commitment", "shortfall", "minimum", "cap")
# Where lines stand; those of other kinds come last.
_RANKS: dict[LineKind, int] = {"usage": 0, "adjustment": 0, "overage": 1, "reservation": 2, "subscription": 3}


class ReservedShare(msgspec.Struct, frozen=True):
    """A part of a reservation that was used, or not: its unit hours, and what they cost of the reservation's price."""

    name: Literal["used", "unused"]
    quantity: str
    exact: str


class LineDraft(msgspec.Struct, frozen=True):
    """A line before rounding. On a line per model, meter, tier and price_class are "" and unit_pico is None.

    unit_pico is None, too, where the price depends on how much was used. parts: how many of its quantity make one unit.
    """

    period: str
    model: str
    meter: str
    tier: str
    quantity: int
    exact_pico: int
    unit_pico: int | None
    kind: LineKind = "usage"
    price_class: str = ""
    parts: int = 1
    shares: tuple[ReservedShare, ...] = ()

    @property
    def place(self) -> tuple[object, ...]:
        """Where the line stands among others."""
        unit = -1 if self.unit_pico is None else self.unit_pico
        rank = _RANKS.get(self.kind, len(_RANKS))
        of = (self.period, self.model, self.meter, self.tier, self.price_class)
        return (rank, *of, self.quantity, self.exact_pico, unit, self.kind)


def amount_line(kind: LineKind, period: Period, exact_pico: int, price_class: str = "") -> LineDraft:
    """A line that is an amount of a month and counts nothing: a minimum, a commitment, credit."""
    return LineDraft(str(period), "", "", "", 0, exact_pico, None, kind, price_class)


class InvoiceLine(msgspec.Struct, frozen=True):
    """A line as printed: decimal strings; exact is unrounded, amount rounded to the currency's minor unit.

    price_class: the window or length of request that the price is for, "" for any; of a reservation its id. number: on
    a credit note, that of the line it takes from. shares: of a reservation.
    """

    number: int
    kind: LineKind
    period: str
    model: str
    meter: str
    tier: str
    quantity: str
    unit_price: str | None
    exact: str
    amount: str
    price_class: str = ""
    shares: tuple[ReservedShare, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def what(self) -> str:
        """What the line counts, with what sets its price apart: "output_tokens, batch, peak"; "" for all of a model."""
        tier = "" if self.tier == "default" else self.tier
        return ", ".join(word for word in (self.meter, tier, self.price_class) if word)

    @property
    def counts(self) -> bool:
        """Whether it has a quantity and a price."""
        return self.kind in MONTHLY_KINDS

    @property
    def title(self) -> str:
        """What it counts, or what it is where it counts nothing: "minimum", "credit used, credit-1"."""
        if self.counts or self.kind == "credit":
            return self.what or "all meters"
        return ", ".join(word for word in (self.kind.replace("_", " "), self.price_class) if word)


class TaxLine(msgspec.Struct, frozen=True):
    """A tax on an invoice: its name, its rate in per cent, what it is on and what it comes to. lines: their numbers.

    reverse_charge: the customer owes it; left out where it does not.
    """

    name: str
    percent: str
    net: str
    amount: str
    lines: tuple[int, ...] = ()
    reverse_charge: bool | msgspec.UnsetType = msgspec.UNSET


class Conversion(msgspec.Struct, frozen=True):
    """How lines of a service period came to the invoice's currency: one unit of another one is worth rate."""

    period: str
    currency: str
    rate: str


class Invoice(msgspec.Struct, frozen=True):
    """An issued invoice; frozen. total = net + tax; residual = exact - rounded over all lines. taxes: what tax sums.

    conversions: where prices are in another currency, which unit prices are then given in. corrects: of a credit note,
    the number of the invoice it takes from, with the reason; its amounts are negative.
    seller, buyer: as they were when it was issued; left out of an invoice from before they were declared.
    """

    number: str
    period: str
    customer: str
    customer_name: str
    contract: str
    currency: str
    issued_at: str
    lines: tuple[InvoiceLine, ...]
    net: str
    tax: str
    total: str
    residual: str
    taxes: tuple[TaxLine, ...] = ()
    conversions: tuple[Conversion, ...] = ()
    corrects: str = ""
    reason: str = ""
    seller: Party | msgspec.UnsetType = msgspec.UNSET
    buyer: Party | msgspec.UnsetType = msgspec.UNSET


class Totals(msgspec.Struct, frozen=True):
    """Sums of an invoice in pico. exact_pico: {kind of line: sum}."""

    net_pico: int
    exact_pico: dict[LineKind, int]

    @property
    def residual_pico(self) -> int:
        """What rounding left over, to be posted to the rounding account."""
        return sum(self.exact_pico.values()) - self.net_pico


def sums(lines: Iterable[LineDraft]) -> dict[LineKind, int]:
    """{kind: exact pico of its lines}."""
    exact: dict[LineKind, int] = {}
    for line in lines:
        exact[line.kind] = exact.get(line.kind, 0) + line.exact_pico
    return exact


def draw_lines(
    drafts: Sequence[LineDraft], currency: str, rounding: Rounding
) -> tuple[tuple[InvoiceLine, ...], Totals]:
    """The numbered lines and their totals. Each line is rounded exactly once; the net is the sum of rounded lines.

    Source: EN 16931 BR-CO-10 (the sum of line net amounts is an equality on rounded lines).
    """
    lines = []
    net = 0
    for number, draft in enumerate(sorted(drafts, key=lambda draft: draft.place), start=1):
        amount = round_to_minor(draft.exact_pico, currency, rounding)
        net += amount
        lines.append(
            InvoiceLine(
                number=number,
                kind=draft.kind,
                period=draft.period,
                model=draft.model,
                meter=draft.meter,
                tier=draft.tier,
                quantity=format_parts(draft.quantity, draft.parts),
                unit_price=None if draft.unit_pico is None else format_pico(draft.unit_pico),
                exact=format_pico(draft.exact_pico),
                amount=format_minor(amount, currency),
                price_class=draft.price_class,
                shares=draft.shares or msgspec.UNSET,
            )
        )
    return tuple(lines), Totals(net_pico=net, exact_pico=sums(drafts))
