"""Laws that hold whatever a bill comes to: what may be changed in how usage arrives, and what that must not change."""

from collections import Counter
from collections.abc import Iterator, Sequence
from fractions import Fraction
from random import Random

from entrepot.core.invoices import Invoice
from entrepot.core.log_records import LogRecord
from tests.oracle.cases import Case, Round, Use
from tests.oracle.generated import round_of
from tests.oracle.product import books_of, records_of

_USAGE = ("usage", "adjustment", "overage")


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
        *usage, close = records
        known += usage
        again = chance.sample(known, min(len(known), chance.randrange(4)))
        mixed = [*usage, *again]
        chance.shuffle(mixed)
        cut = chance.randrange(len(mixed) + 1)
        batches += [mixed[:cut], [*mixed[cut:], close]]
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
    """Usage that came late comes, over all invoices, to what it would have come to in time."""
    cases = tuple(case._replace(uses=tuple(use._replace(arrives=0) for use in case.uses)) for case in office.cases)
    in_time = office._replace(cases=cases)
    here, there = _sums(office, plain), _sums(office, _invoices(in_time, records_of(in_time)))
    for key in sorted(here.keys() | there.keys(), key=str):
        if here[key] != there[key]:
            yield f"late: {key} comes to {here[key]}, in time to {there[key]}"
            return


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
    return Counter({key: pico for key, pico in sums.items() if pico})
