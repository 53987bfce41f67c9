"""What a change of the world may not touch: the contract and the prices of time that has been metered already.

Readings carry the contract and the price version in force at each event's admission, so both must go on meaning what
they meant. What was unpriced may get a price: such usage waits in quarantine and was never rated.
"""

from collections.abc import Callable, Iterable, Iterator

import msgspec

from entrepot.core.exchange import rate_at
from entrepot.core.money import format_pico
from entrepot.core.periods import Instant, Period, format_instant
from entrepot.core.prices import PriceBookVersion, PriceTable
from entrepot.core.tenancy import Contract
from entrepot.core.terms import LockedRate, Reservation
from entrepot.core.tokens import PRICED_AS
from entrepot.core.world import World, WorldIndex

Latest = Callable[[str], Instant | None]


def contract_conflicts(
    before: World, after: World, latest_of_contract: Callable[[Contract], Instant | None]
) -> Iterator[str]:
    """A sentence for each contract that had usage and would read differently for the time of that usage.

    latest_of_contract: the last instant of what is metered or invoiced of its customer's.
    """
    kept = {contract.id: contract for contract in after.contracts}
    for contract in before.contracts:
        new = kept.get(contract.id)
        latest = None if new == contract else latest_of_contract(contract)
        if latest is None or latest < contract.effective_from:
            continue
        metered_until = min(contract.effective_to, latest + 1)
        if new is None or not _still_holds(contract, new, metered_until):
            yield (
                f"contract {contract.id} has usage or invoices until {format_instant(metered_until)} and cannot change "
                "for that time; declare a further contract of the customer with a later effective_from"
            )
        yield from _reservation_conflicts(contract, new, metered_until) if new else ()


def _reservation_conflicts(old: Contract, new: Contract, until: Instant) -> Iterator[str]:
    """A sentence for each reservation that has begun and would be gone or cost something else."""
    kept = {term.id: term.each_hour_pico for term in new.terms if isinstance(term, Reservation)}
    for term in old.terms:
        if isinstance(term, Reservation) and term.begins < until and kept.get(term.id) != term.each_hour_pico:
            yield (
                f"{term.id} of contract {old.id} has begun and can neither go nor change its price; end it with `to`, "
                "and declare another one behind it"
            )


def removal_conflicts(before: World, after: World, latest_of_customer: Latest) -> Iterator[str]:
    """A sentence for each customer or project that would disappear although its customer has usage.

    Deployments and models may go: their usage keeps their names.
    """
    customers = {customer.id for customer in after.customers}
    projects = {project.id for project in after.projects}
    gone = [(item.id, f"customer {item.id}") for item in before.customers if item.id not in customers]
    gone += [(item.customer, f"project {item.id}") for item in before.projects if item.id not in projects]
    for customer, name in gone:
        latest = latest_of_customer(customer)
        if latest is not None:
            yield (
                f"{name} cannot be removed: there is usage of {customer} until {format_instant(latest)}; "
                "keep it declared and remove its deployments instead"
            )


def rate_conflicts(before: World, after: World, closed: Iterable[Period]) -> Iterator[str]:
    """A sentence for each exchange rate that invoices or statements of a closed month go by and that would differ."""
    asked = {(*pair, period) for period in closed for pair in _exchanged(before, period)}
    for sold, bought, at, period in sorted(asked, key=lambda item: (str(item[3]), *item[:3])):
        old = rate_at(before.exchange_rates, sold, bought, at)
        new = rate_at(after.exchange_rates, sold, bought, at)
        if old is not None and old != new:
            yield (
                f"the exchange rate from {sold} to {bought} at the end of {period} is {format_pico(old)} and cannot "
                f"become {'unknown' if new is None else format_pico(new)}: {period} is closed; declare a rate of a "
                "later date, and give back what was wrong with a credit note"
            )


def _exchanged(world: World, period: Period) -> Iterator[tuple[str, str, Instant]]:
    """(from, to, when) of what a month's invoices and statements may be converted by."""
    for contract in world.contracts:
        if contract.charged_in != contract.currency and not any(
            isinstance(term, LockedRate) for term in contract.terms
        ):
            yield contract.charged_in, contract.currency, period.end(contract.zone) - 1
        for agreement in world.agreements:
            if agreement.currency != contract.currency:
                yield contract.currency, agreement.currency, period.end("UTC") - 1


def _still_holds(old: Contract, new: Contract, until: Instant) -> bool:
    """Whether usage before the instant is priced as it was. Minutes of reservations are counted again instead."""
    if new.effective_to < until:
        return False
    return _unreserved(new, old.effective_to) == _unreserved(old, old.effective_to)


def _unreserved(contract: Contract, ends: Instant) -> Contract:
    """The contract until an end, without its reservations."""
    terms = tuple(term for term in contract.terms if not isinstance(term, Reservation))
    return msgspec.structs.replace(contract, effective_to=ends, terms=terms)


def price_conflicts(before: World, after: World, latest_of_book: Latest) -> Iterator[str]:
    """A sentence for each price book version that had usage and would price the time of that usage differently."""
    old, new = WorldIndex(before), WorldIndex(after)
    zones: dict[str, set[str]] = {version.book: set() for version in before.price_books}
    for contract in before.contracts:
        zones.setdefault(contract.price_book, set()).add(contract.zone)
    for book, used_in in zones.items():
        changed = [
            zone
            for zone in sorted(used_in or {"UTC"})
            if old.price_versions(book, zone) != new.price_versions(book, zone)
        ]
        latest = latest_of_book(book) if changed else None
        if latest is None:
            continue
        advice = (
            f"usage was metered under price book {book} until {format_instant(latest)}; "
            "declare a further version with a later effective_from"
        )
        touched = {fault for zone in changed for fault in _changed_versions(old, new, book, zone, latest)}
        for fault in sorted(touched):
            yield f"{fault}: {advice}"


def _changed_versions(old: WorldIndex, new: WorldIndex, book: str, zone: str, latest: Instant) -> Iterator[str]:
    metered = [(begins, version) for begins, version in old.price_versions(book, zone) if begins <= latest]
    kept = {version.id: (begins, version) for begins, version in new.price_versions(book, zone)}
    for begins, version in metered:
        now_begins, now = kept.get(version.id, (None, None))
        if now is None or now_begins != begins:
            yield f"price book version {version.id} cannot be removed or moved"
        elif not _prices_hold(version, now):
            yield f"a price of {version.id} cannot change"
    known = {version.id for _, version in metered}
    for begins, version in kept.values():
        if version.id not in known and metered and metered[0][0] < begins <= latest:
            yield f"price book version {version.id} would begin in metered time"


def _prices_hold(old: PriceBookVersion, new: PriceBookVersion) -> bool:
    """Whether everything that had a price, by itself or as a part of something priced, still has that price."""
    before, after = PriceTable(old), PriceTable(new)
    priced = {(price.model, price.meter, price.tier) for price in old.prices}
    priced |= {
        (model, part, tier) for model, meter, tier in priced for part, whole in PRICED_AS.items() if whole == meter
    }
    classes = {"", *(price.price_class for price in (*old.prices, *new.prices))}
    models = {model for model, _, _ in priced}
    return all(before.windows(model) == after.windows(model) for model in models) and all(
        before.price(*key, name) == after.price(*key, name) for key in priced for name in classes
    )
