"""Costs: what invoices consist of, down to the hour; the rows that FOCUS and other views of costs are made of."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from entrepot.core.charges import Reading
from entrepot.core.invoices import Invoice, InvoiceLine
from entrepot.core.periods import Instant
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Commitment

# used: a reading, or a part of one at one price. term: a line without usage. share: what of a reservation was used, or
# what was not. rounding: what a line was rounded by. unused: what is left of a prepaid commitment at its end.
CostKind = Literal["used", "term", "share", "tax", "rounding", "unused"]


class UsedPart(NamedTuple):
    """Usage at one price. Amounts are exact, in pico of the currency of prices; those of units None as PricedPart's.

    priced: how many times a unit price is charged; priced_by: for how many units at a time, 0 for an hour of them.
    """

    reading: Reading
    quantity: int
    price_book: str
    priced_as: str
    price_class: str
    step: int
    priced: int
    priced_by: int
    list_unit_pico: int | None
    list_pico: int
    agreed_unit_pico: int | None
    agreed_pico: int


class Cost(NamedTuple):
    """A part of what an invoice comes to; all parts of it sum to its total. In pico of the invoice's currency.

    billed: what is to be paid for it. effective: what it costs when what was paid ahead is spread over what it pays
    for. commitment: the one that it is drawn from, or that it is the price of. line: None for taxes.
    is_correction: of a month that was invoiced before.
    """

    kind: CostKind
    invoice: Invoice
    contract: Contract
    line: InvoiceLine | None
    begins: Instant
    ends: Instant
    billed_pico: int
    effective_pico: int
    rate_pico: int
    is_correction: bool
    used: UsedPart | None = None
    commitment: Commitment | None = None
    label: str = ""


def allotted(amount: int, weights: Sequence[int]) -> Iterator[int]:
    """The amount in parts by weight that sum to it exactly. Asserts that the weights come to something."""
    whole = sum(weights)
    assert whole, "there is nothing to go by"
    reached = given = 0
    for weight in weights:
        reached += weight
        part = amount * reached // whole - given
        given += part
        yield part
