"""Laws that hold whatever a bill comes to: what may be changed in how usage arrives, and what that must not change."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random
from typing import TypeVar

from entrepot.core.invoices import Invoice
from entrepot.core.log_records import LogRecord, WorldApplied
from tests.oracle.cases import Case, CountFrom, Holder, Reserved, Round, Use
from tests.oracle.generated import round_of
from tests.oracle.papers import DIGITS
from tests.oracle.product import books_of, records_of

_USAGE = ("usage", "adjustment", "overage")
_BY_TIME = ("reservation", "subscription")

_T = TypeVar("_T", Use, CountFrom, Reserved, Holder)


def broken_laws(seed: int) -> list[str]:
    """Which laws the round of a seed breaks, in sentences."""
    office = round_of(seed)
    chance = Random(seed)
    plain = _invoices(office, records_of(office))
    return [
        *_same("in another order, with repeats, cut elsewhere", plain, _invoices(office, _mixed(office, chance))),
        *_same("rated again", plain, _invoices(office, records_of(office))),
        *_split(office, plain, chance),
        *_late(office, plain),
    ]


def _invoices(office: Round, records: Sequence[Sequence[LogRecord]]) -> list[Invoice]:
    books = books_of(office, records)
    try:
        return books.invoices()
    finally:
        books.close()


def _same(law: str, one: Sequence[Invoice], other: Sequence[Invoice]) -> Iterator[str]:
    for left, right in zip(one, other, strict=False):
        if left != right:
            yield f"{law}: {left.number} differs\n    {left}\n    {right}"
            return
    if len(one) != len(other):
        yield f"{law}: {len(one)} invoices became {len(other)}"


def _mixed(office: Round, chance: Random) -> list[list[LogRecord]]:
    """The same records in other transactions; before each close in another order, some of them again, also later."""
    batches: list[list[LogRecord]] = []
    known: list[LogRecord] = []
    for records in records_of(office):
        *before, close = records
        worlds = [record for record in before if isinstance(record, WorldApplied)]
        usage = before[len(worlds) :]
        known += usage
        again = chance.sample(known, min(len(known), chance.randrange(4)))
        mixed = [*usage, *again]
        chance.shuffle(mixed)
        cut = chance.randrange(len(mixed) + 1)
        batches += [[*worlds, *mixed[:cut]], [*mixed[cut:], close]]
    return batches


def _split(office: Round, plain: Sequence[Invoice], chance: Random) -> Iterator[str]:
    """A request in two of the same time costs what it cost in one, unless its length sets its price."""
    cases = tuple(_halved(case, chance) for case in office.cases)
    halved = office._replace(cases=cases)
    yield from _same("split", plain, _invoices(halved, records_of(halved)))


def _halved(case: Case, chance: Random) -> Case:
    rows = (row for deal in case.deals for edition in deal.editions for row in edition.rows)
    if any(row.of.startswith("above_") for row in rows):
        return case
    return case._replace(uses=tuple(part for use in case.uses for part in _parts(use, chance)))


def _parts(use: Use, chance: Random) -> Iterator[Use]:
    if sum(use.meters.values()) > 10**4:  # What no hand would record at once is told by its size, so parts differ.
        yield use
        return
    first = {meter: chance.randint(0, quantity) for meter, quantity in use.meters.items()}
    rest = {meter: quantity - first[meter] for meter, quantity in use.meters.items()}
    if all(bool(first[meter]) == bool(rest[meter]) == bool(use.meters[meter]) for meter in first):
        yield use._replace(id=f"{use.id}a", meters=first)
        yield use._replace(id=f"{use.id}b", meters=rest)
    else:
        yield use


def _late(office: Round, plain: Sequence[Invoice]) -> Iterator[str]:
    """What was told late comes, over all invoices, to what it would have come to in time."""
    in_time = office._replace(cases=tuple(map(_told_in_time, office.cases)))
    told = _invoices(in_time, records_of(in_time))
    yield from _totals_differ(office, plain, told)
    here, there = _sums(office, plain), _sums(office, told)
    for key in sorted(here.keys() | there.keys(), key=str):
        if here[key] != there[key]:
            yield f"late: {key} comes to {here[key]}, in time to {there[key]}"
            return


def _totals_differ(office: Round, late: Sequence[Invoice], in_time: Sequence[Invoice]) -> Iterator[str]:
    """What a customer owes may differ by what lines and taxes are rounded by, and by nothing else.

    Where a commitment is drawn from, see _sums for which usage it covers: so what models are taxed differently is not
    compared, nor anything where months have rates of exchange of their own.
    """
    drawn = [deal for case in office.cases for deal in case.deals if deal.promise]
    before_tax = {deal.id for deal in drawn if any(levy.models for levy in deal.levies)}
    by_month = {deal.id for deal in drawn if deal.priced_in != deal.currency and not deal.locked}
    totals: Counter[str] = Counter()
    rounded: Counter[str] = Counter()
    for sign, invoices in ((1, late), (-1, in_time)):
        for invoice in invoices:
            owed = invoice.net if invoice.contract in before_tax else invoice.total
            totals[invoice.contract] += sign * int(Fraction(owed) * 10**12)
            unit = 10 ** (12 - DIGITS[invoice.currency])
            rounded[invoice.contract] += unit * (len(invoice.lines) + len(invoice.taxes))
    for contract, pico in totals.items():
        if contract not in by_month and abs(pico) > rounded[contract]:
            yield f"late: {contract} owes {Fraction(pico, 10**12)} more than in time"


def _told_in_time(case: Case) -> Case:
    return case._replace(
        uses=_in_time(case.uses),
        deals=tuple(deal._replace(reserved=_in_time(deal.reserved), arrives=0) for deal in case.deals),
        units=tuple(units._replace(steps=_in_time(units.steps)) for units in case.units),
        desks=tuple(desk._replace(seats=_in_time(desk.seats), holders=_in_time(desk.holders)) for desk in case.desks),
    )


def _in_time(items: Sequence[_T]) -> tuple[_T, ...]:
    return tuple(item._replace(arrives=0) for item in items)


def _sums(office: Round, invoices: Sequence[Invoice]) -> Counter[tuple[str, ...]]:
    """Exact pico by deal and price, of deals whose lines are in the currency of their prices.

    Where a commitment is drawn from, which lines it covers depends on when usage came, and only what is covered and
    what is beyond it, in all, does not.
    """
    deals = {deal.id: deal for case in office.cases for deal in case.deals if deal.priced_in == deal.currency}
    sums: Counter[tuple[str, ...]] = Counter()
    for invoice in invoices:
        deal = deals.get(invoice.contract)
        for line in invoice.lines if deal else ():
            if deal is not None and line.kind in _USAGE:
                of = (line.period, line.model, line.meter, line.tier, line.price_class)
                key = ("overage" if line.kind == "overage" else "covered",) if deal.promise else of
                sums[invoice.contract, *key] += int(Fraction(line.exact) * 10**12)
            elif deal is not None and line.kind in _BY_TIME:
                by_time = (line.kind, line.period, line.model, line.price_class)
                sums[invoice.contract, *by_time] += int(Fraction(line.exact) * 10**12)
    return Counter({key: pico for key, pico in sums.items() if pico})
