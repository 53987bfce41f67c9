"""Terms of a contract beside its price book."""

from collections.abc import Iterable

import msgspec

from entrepot.core.money import divide_half_up, parse_pico
from entrepot.core.periods import Instant
from entrepot.core.prices import Price, PriceBookVersion, Step
from entrepot.core.provisioned import Geography

SHARE = 10**12  # The whole that shares are parts of.


class Discount(msgspec.Struct, frozen=True, tag="discount"):
    """A share less of each unit price of these models, of all where none is named.

    The discounted price is rounded half up to whole pico, once, so that rating stays a multiplication.
    """

    share: int
    models: tuple[str, ...] = ()


class Minimum(msgspec.Struct, frozen=True, tag="minimum"):
    """What a month costs at least; of a month in which the contract is not in force throughout, its part by days."""

    monthly_pico: int


class Tax(msgspec.Struct, frozen=True, tag="tax"):
    """A share of the net of the lines of these models, of all where none is named, added under this name.

    reverse_charge: nothing is added, since the customer owes the tax itself; the invoice has to say so.
    """

    share: int
    name: str
    models: tuple[str, ...] = ()
    reverse_charge: bool = False


class Commitment(msgspec.Struct, frozen=True, tag="commitment"):
    """So much to be spent in [begins, ends), month by month of the contract's zone, at prices less a share.

    What goes beyond it, overage, is charged at the contract's prices, or at the discounted ones times overage_share.
    prepaid: paid for at its beginning and drawn from; else each month's usage is paid, and at the end what is missing.
    """

    amount_pico: int
    begins: Instant
    ends: Instant
    share: int = 0
    overage_share: int | None = None
    prepaid: bool = True

    @property
    def covers_pico(self) -> int:
        """How much usage it covers, at the contract's prices."""
        return -(-self.amount_pico * SHARE // (SHARE - self.share))

    def drawn_pico(self, charged_pico: int) -> int:
        """How much of it is spent once so much was charged at the contract's prices."""
        covered = max(0, min(charged_pico, self.covers_pico))
        return min(self.amount_pico, covered * (SHARE - self.share) // SHARE)

    def overage_pico(self, charged_pico: int) -> int:
        """What goes beyond it then, at its own price."""
        beyond = max(0, charged_pico - self.covers_pico)
        if self.overage_share is None:
            return beyond
        return beyond * (SHARE - self.share) * self.overage_share // SHARE**2


class Reservation(msgspec.Struct, frozen=True, tag="reservation"):
    """So many provisioned units, paid by the hour in [begins, ends) whether there are any or not.

    Minute by minute it covers as many units of the customer's deployments; what is beyond them costs its own price.
    models, geography: of deployments that it covers, any where none is named. id: of its contract's, in their order.
    """

    id: str
    units: int
    each_hour_pico: int
    begins: Instant
    ends: Instant
    models: tuple[str, ...] = ()
    geography: Geography | None = None

    @property
    def model(self) -> str:
        """The model that it is for where there is only one, else ""."""
        return self.models[0] if len(self.models) == 1 else ""

    def covers(self, model: str, geography: Geography) -> bool:
        """Whether units of such a deployment are covered."""
        return (not self.models or model in self.models) and self.geography in {None, geography}


class Cap(msgspec.Struct, frozen=True, tag="cap"):
    """The most that a month is billed at, before tax; of a part of a month its part by days."""

    monthly_pico: int


class Credit(msgspec.Struct, frozen=True, tag="credit"):
    """So much that pays what whole months in [begins, ends) come to, and is lost at the end.

    In the invoices' currency. granted: given, else bought with the first invoice. id: of its contract, by their order.
    """

    id: str
    amount_pico: int
    begins: Instant
    ends: Instant
    granted: bool = False


class LockedRate(msgspec.Struct, frozen=True, tag="exchange"):
    """The rate at which prices become the currency of the contract's invoices, whatever the market's is."""

    rate_pico: int


Term = Discount | Minimum | Tax | Commitment | Reservation | Cap | Credit | LockedRate


def parse_percent(text: str) -> int:
    """The share of "12.5" per cent. Raises: ValueError with a sentence for the user."""
    share, rest = divmod(parse_pico(text), 100)
    if rest or not 0 <= share <= SHARE:
        raise ValueError(f"{text!r} is not a percentage from 0 to 100 with at most 10 digits after the point")
    return share


def discounted(version: PriceBookVersion, terms: Iterable[Term]) -> PriceBookVersion:
    """The version with the unit prices that the discounts among the terms leave."""
    discounts = [term for term in terms if isinstance(term, Discount)]
    if not discounts:
        return version
    return msgspec.structs.replace(version, prices=tuple(_less(price, discounts) for price in version.prices))


def _less(price: Price, discounts: Iterable[Discount]) -> Price:
    for discount in discounts:
        if not discount.models or price.model in discount.models:
            rest = SHARE - discount.share
            steps = tuple(Step(step.up_to, divide_half_up(step.unit_pico * rest, SHARE)) for step in price.steps)
            price = msgspec.structs.replace(price, unit_pico=divide_half_up(price.unit_pico * rest, SHARE), steps=steps)
    return price
