"""What partners and the operator owe each other, by whom it was agreed, and what partners report."""

from typing import Literal

import msgspec

from entrepot.core.periods import Instant

AgreementKind = Literal["resale_share", "direct_sales_share", "capacity_rental"]
Direction = Literal["pay", "receive"]


class Agreement(msgspec.Struct, frozen=True):
    """An agreement with a partner, in force in [begins, ends). id is "{partner}/{kind}@{date}".

    resale_share: a share of what customers are invoiced for the partner's models. direct_sales_share: a share of what
    the partner reports of its own sales. capacity_rental: each_pico for each unit the partner reports. direction:
    whether the operator pays or receives it. cap_pico: never more than this in all.
    """

    id: str
    partner: str
    kind: AgreementKind
    direction: Direction
    begins: Instant
    ends: Instant
    currency: str
    share: int = 0
    unit: str = ""
    each_pico: int = 0
    cap_pico: int | None = None


class PartnerReport(msgspec.Struct, frozen=True):
    """What a partner reports of a period: sales in pico of a currency, or how many units, in pico of one."""

    id: str
    partner: str
    kind: AgreementKind
    period: str
    reported_pico: int
