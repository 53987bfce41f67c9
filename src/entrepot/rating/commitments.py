"""How charges draw a commitment down, and what goes beyond it."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from entrepot.core.charges import Charge
from entrepot.core.terms import Commitment


class Drawdown(NamedTuple):
    """Charges split at the point where a commitment is spent. charged_pico: in its whole term, after them.

    The one charge that crosses the point is on both sides, with a part of its quantity on each.
    """

    covered: list[Charge]
    overage: list[Charge]
    charged_pico: int


def draw_down(commitment: Commitment, charged_pico: int, charges: Iterable[Charge]) -> Drawdown:
    """The charges at the commitment's prices, in their order.

    charged_pico: what was charged in its term before, at the contract's prices, as the charges are. Everything
    is a difference of what the whole term comes to, so the sums do not depend on order or cuts.
    """
    covered: list[Charge] = []
    overage: list[Charge] = []
    for charge in charges:
        before, charged_pico = charged_pico, charged_pico + charge.amount_pico
        within = min(charged_pico, commitment.covers_pico) - min(before, commitment.covers_pico)
        inside = charge.quantity * within // charge.amount_pico if charge.amount_pico else charge.quantity
        drawn = commitment.drawn_pico(charged_pico) - commitment.drawn_pico(before)
        beyond = commitment.overage_pico(charged_pico) - commitment.overage_pico(before)
        if inside or drawn:
            unit_pico = charge.unit_pico if not commitment.share else None
            covered.append(msgspec.structs.replace(charge, quantity=inside, amount_pico=drawn, unit_pico=unit_pico))
        if inside != charge.quantity or beyond:
            unit_pico = charge.unit_pico if commitment.overage_share is None else None
            overage.append(
                msgspec.structs.replace(
                    charge, quantity=charge.quantity - inside, amount_pico=beyond, unit_pico=unit_pico
                )
            )
    return Drawdown(covered, overage, charged_pico)
