"""Provisioned units as readings: how many minutes they stood, hour by hour, and which of them reservations cover.

Everything counts by the minute: what changes within a minute counts from its beginning. Units are covered minute by
minute, deployments in the order of their names, reservations in that of the contract.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import groupby, pairwise
from typing import NamedTuple

from entrepot.core.charges import Series
from entrepot.core.installed import Installed
from entrepot.core.periods import HOUR, MINUTE, Instant, format_instant, hour_of, period_of
from entrepot.core.prices import PriceTable
from entrepot.core.tenancy import Contract
from entrepot.core.terms import Reservation
from entrepot.core.tokens import COVERED_MINUTES, RESERVED_MINUTES, UNIT_HOURS, UNIT_MINUTES
from entrepot.core.world import WorldIndex

UnitReadings = dict[tuple[Series, str, Instant], int]

_Key = tuple[str, str]  # project, deployment


class _Stretch(NamedTuple):
    """A time of a contract in which nothing changes. prices: None where no version is in force."""

    begins: Instant
    ends: Instant
    prices: PriceTable | None
    standing: list[tuple[_Key, Installed]]
    reservations: list[Reservation]


def unit_readings(
    terms: WorldIndex, since: Instant, until: Instant, customers: Collection[str] | None = None
) -> UnitReadings:
    """{(series, meter, hour): unit minutes} of the whole minutes of [since, until). customers: only those; None: all.

    Units without a price are left out; see unpriced_units.
    """
    readings: UnitReadings = defaultdict(int)
    for contract in terms.contracts_with_units:
        if customers is None or contract.customer in customers:
            for stretch in _stretches(terms, contract, since, until):
                counted = list(_counted(contract, stretch))
                for hour, minutes in _hours(stretch, contract.zone) if counted else ():
                    for series, meter, units in counted:
                        readings[series, meter, hour] += units * minutes
    return dict(readings)


def unpriced_units(terms: WorldIndex, until: Instant) -> Iterator[str]:
    """A sentence for each deployment of which units stand at any time before until without a price."""
    for contract in terms.contracts_with_units:
        told: set[_Key] = set()
        for stretch in _stretches(terms, contract, 0, until):
            for key, installed in stretch.standing:
                if key not in told and not _has_price(stretch.prices, installed):
                    told.add(key)
                    yield (
                        f"deployment {'/'.join(key)} has {installed.units} units from "
                        f"{format_instant(stretch.begins)}, and price book {contract.price_book} has no price then "
                        f"for {UNIT_HOURS} of model {installed.model}; declare it"
                    )


def units_without_contract(terms: WorldIndex, until: Instant) -> Iterator[str]:
    """A sentence for each deployment of which units stand before the instant when its customer's contracts are over."""
    contracts = sorted(terms.world.contracts, key=lambda contract: contract.effective_from)
    agreed = {name: list(group) for name, group in groupby(sorted(contracts, key=_customer), key=_customer)}
    for key, steps in terms.installed.items():
        for step, ends in zip(steps, [*(later.begins for later in steps[1:]), until], strict=True):
            held = agreed.get(step.customer, []) if step.units else []
            at = max([step.begins, *(contract.effective_from for contract in held[:1])])
            for contract in held:
                at = contract.effective_to if contract.effective_from <= at < contract.effective_to else at
            if held and at < min(ends, until):
                yield (
                    f"deployment {'/'.join(key)} has {step.units} units on {format_instant(at)}, and customer "
                    f"{step.customer} has no contract then; declare one, or when the units end"
                )
                break


def _customer(contract: Contract) -> str:
    return contract.customer


def first_unit(terms: WorldIndex) -> Instant | None:
    """When the first unit stands, or is reserved, under any contract; None without any."""
    found = []
    for contract in terms.contracts_with_units:
        begins = [step.begins for _, steps in terms.provisioned_of(contract.customer) for step in steps if step.units]
        begins += [reservation.begins for reservation in _reservations(contract)]
        found += [max(at, contract.effective_from) for at in begins if at < contract.effective_to]
    return min(found, default=None)


def first_units(terms: WorldIndex, since: Instant, until: Instant) -> dict[str, Instant]:
    """{contract: when the first of its units, or of those reserved, is counted in [since, until)}."""
    found = {}
    for contract in terms.contracts_with_units:
        stretches = _stretches(terms, contract, since, until)
        counted = next((stretch.begins for stretch in stretches if any(_counted(contract, stretch))), None)
        if counted is not None:
            found[contract.id] = counted
    return found


def latest_counted(terms: WorldIndex, customers: Collection[str], until: Instant) -> Instant | None:
    """The last instant before the given one at which units of these customers were counted; None without any."""
    stretches = (
        stretch
        for customer in customers
        for contract in terms.contracts_of(customer)
        for stretch in _stretches(terms, contract, 0, until)
        if any(_counted(contract, stretch))
    )
    return max((stretch.ends - 1 for stretch in stretches), default=None)


def _reservations(contract: Contract) -> list[Reservation]:
    return [term for term in contract.terms if isinstance(term, Reservation)]


def _stretches(terms: WorldIndex, contract: Contract, since: Instant, until: Instant) -> Iterator[_Stretch]:
    begins, ends = _minute(max(since, contract.effective_from)), _minute(min(until, contract.effective_to))
    deployments, reservations = terms.provisioned_of(contract.customer), _reservations(contract)
    if begins >= ends or not (deployments or reservations):
        return
    versions = terms.price_versions(contract.price_book, contract.zone)
    changes = {_minute(step.begins) for _, steps in deployments for step in steps}
    changes |= {_minute(at) for reservation in reservations for at in (reservation.begins, reservation.ends)}
    changes |= {_minute(at) for at, _ in versions}
    edges = [begins, *sorted(at for at in changes if begins < at < ends), ends]
    for first, last in pairwise(edges):
        standing = [(key, found) for key, steps in deployments if (found := _at(steps, first, contract.customer))]
        holding = [item for item in reservations if _minute(item.begins) <= first < _minute(item.ends)]
        in_force = [version for at, version in versions if _minute(at) <= first]
        prices = terms.prices(in_force[-1].id) if in_force else None
        if standing or holding:
            yield _Stretch(first, last, prices, standing, holding)


def _at(steps: tuple[Installed, ...], at: Instant, customer: str) -> Installed | None:
    """What stands then, if it is the customer's and has units."""
    place = bisect_right(steps, at, key=lambda step: _minute(step.begins))
    found = steps[place - 1] if place else None
    return found if found is not None and found.units and found.customer == customer else None


def _counted(contract: Contract, stretch: _Stretch) -> Iterator[tuple[Series, str, int]]:
    """(series, meter, units) of every minute of a stretch."""
    left = {reservation.id: reservation.units for reservation in stretch.reservations}
    for (project, deployment), installed in stretch.standing:
        if stretch.prices is None or not _has_price(stretch.prices, installed):
            continue
        version, model = stretch.prices.version.id, installed.model
        units = installed.units
        for reservation in stretch.reservations:
            covered = min(units, left[reservation.id]) if reservation.covers(model, installed.geography) else 0
            if covered:
                left[reservation.id] -= covered
                units -= covered
                of = (contract.id, version, contract.customer, project, deployment, model, "default", reservation.id)
                yield Series(*of), COVERED_MINUTES, covered
        if units:
            of = (contract.id, version, contract.customer, project, deployment, model, "default", installed.geography)
            yield Series(*of), UNIT_MINUTES, units
    for reservation in stretch.reservations:
        of = (contract.id, "", contract.customer, "", "", reservation.model, "default", reservation.id)
        yield Series(*of), RESERVED_MINUTES, reservation.units


def _has_price(prices: PriceTable | None, installed: Installed) -> bool:
    return prices is not None and prices.price(installed.model, UNIT_HOURS, "default", installed.geography) is not None


def _hours(stretch: _Stretch, zone: str) -> Iterator[tuple[Instant, int]]:
    """(the hour of a reading, minutes of it in the stretch)."""
    at = stretch.begins
    while at < stretch.ends:
        month = period_of(at, zone)
        month_begins, month_ends = month.start(zone), min(month.end(zone), stretch.ends)
        while at < month_ends:
            ends = min(hour_of(at) + HOUR, month_ends)
            yield max(hour_of(at), month_begins), (ends - at) // MINUTE
            at = ends


def _minute(at: Instant) -> Instant:
    return at - at % MINUTE


def changed_customers(before: WorldIndex, after: WorldIndex, until: Instant) -> set[str]:
    """Customers whose units count otherwise before the instant: by number, contract, reservation or price."""
    old, new = _all_counted(before, until), _all_counted(after, until)
    return {customer for customer in old.keys() | new.keys() if old.get(customer) != new.get(customer)}


def _all_counted(terms: WorldIndex, until: Instant) -> dict[str, list[object]]:
    """{customer: all that its readings are made of}."""
    found: dict[str, list[object]] = defaultdict(list)
    for contract in terms.contracts_with_units:
        for stretch in _stretches(terms, contract, 0, until):
            counted = list(_counted(contract, stretch))
            if counted:
                found[contract.customer].append((stretch.begins, stretch.ends, contract.zone, counted))
    return found
