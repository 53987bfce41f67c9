"""Two bills of the same usage beside each other: by customer, and by what is charged for."""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from entrepot.core.invoices import USAGE_KINDS, Invoice, InvoiceLine, LineKind
from entrepot.core.money import format_pico, parse_pico


class LineDiff(msgspec.Struct, frozen=True):
    """What a month's usage of one meter comes to under both, exact; or a minimum, or a commitment."""

    kind: LineKind
    model: str
    meter: str
    old_quantity: str
    new_quantity: str
    old: str
    new: str
    difference: str


class CustomerDiff(msgspec.Struct, frozen=True):
    """A customer's month under both, before tax, rounded as on invoices. difference: None where currencies differ."""

    customer: str
    name: str
    currency: str
    new_currency: str
    old: str
    new: str
    difference: str | None
    lines: tuple[LineDiff, ...]


_Key = tuple[LineKind, str, str]


def customer_diffs(
    old: Iterable[Invoice], new: Iterable[Invoice], period: str, names: Mapping[str, str]
) -> Iterator[CustomerDiff]:
    """A difference for each customer with a line of the period under either, by customer and currency."""
    before, after = _by_customer(old, period), _by_customer(new, period)
    for customer in sorted(before.keys() | after.keys()):
        for currency, new_currency in _currencies(before.get(customer, {}), after.get(customer, {})):
            lines = before.get(customer, {}).get(currency, [])
            new_lines = after.get(customer, {}).get(new_currency, [])
            one, other = _sum(lines), _sum(new_lines)
            yield CustomerDiff(
                customer=customer,
                name=names.get(customer, customer),
                currency=currency,
                new_currency=new_currency,
                old=format_pico(one, 2),
                new=format_pico(other, 2),
                difference=format_pico(other - one, 2) if currency == new_currency else None,
                lines=tuple(_line_diffs(lines, new_lines)),
            )


_ByCurrency = dict[str, list[InvoiceLine]]


def _currencies(old: _ByCurrency, new: _ByCurrency) -> list[tuple[str, str]]:
    """Which currencies stand beside each other: the only ones of both, or else each beside itself."""
    if len(old) == len(new) == 1:
        return list(zip(old, new, strict=True))
    return [(currency, currency) for currency in sorted(old.keys() | new.keys())]


def _by_customer(invoices: Iterable[Invoice], period: str) -> dict[str, _ByCurrency]:
    """{customer: {currency: lines of the period}}; a customer whose contract changed within it has two invoices."""
    found: dict[str, _ByCurrency] = {}
    for invoice in invoices:
        lines = [line for line in invoice.lines if line.period == period]
        if lines:
            found.setdefault(invoice.customer, {}).setdefault(invoice.currency, []).extend(lines)
    return found


def _sum(lines: Iterable[InvoiceLine]) -> int:
    return sum(parse_pico(line.amount) for line in lines)


def _line_diffs(old: Iterable[InvoiceLine], new: Iterable[InvoiceLine]) -> Iterator[LineDiff]:
    before, after = _by_key(old), _by_key(new)
    for key in sorted(before.keys() | after.keys()):
        (old_units, one), (new_units, other) = before.get(key, (0, 0)), after.get(key, (0, 0))
        amounts = (format_pico(amount, 2) for amount in (one, other, other - one))
        yield LineDiff(*key, format_pico(old_units), format_pico(new_units), *amounts)


def _by_key(lines: Iterable[InvoiceLine]) -> dict[_Key, tuple[int, int]]:
    """{(kind, model, meter): (quantity, exact)} in pico; tiers and classes together: a new book may cut them anew."""
    sums: dict[_Key, tuple[int, int]] = {}
    for line in lines:
        key: _Key = ("usage" if line.kind in USAGE_KINDS else line.kind, line.model, line.meter)
        units, exact = sums.get(key, (0, 0))
        sums[key] = (units + parse_pico(line.quantity), exact + parse_pico(line.exact))
    return sums
