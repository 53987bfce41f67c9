"""Statements: what an operator and a partner owe each other for a period, frozen when it is settled."""

import msgspec


class StatementItem(msgspec.Struct, frozen=True):
    """What one agreement comes to. amount: as decimal text, never negative but where it takes something back.

    base: what it is counted on, an amount of money or a number of units. rate: per cent, or the price of a unit.
    cap_left: of an agreement with a cap, after this.
    """

    agreement: str
    kind: str
    direction: str
    base: str
    rate: str
    amount: str
    cap_left: str | None = None


class Statement(msgspec.Struct, frozen=True):
    """All agreements with a partner for a period. net: what the partner owes the operator, negative the other way."""

    number: str
    period: str
    partner: str
    partner_name: str
    currency: str
    issued_at: str
    documents: tuple[StatementItem, ...]
    net: str
