"""What a usage event is counted as: its series and hour, or the reason why it must wait in quarantine.

The event and the world decide, at the instant of admission. Millions of events share a few thousand answers, so each
answer is kept with the window of time it holds for: the part of a month of the contract's zone in which neither the
contract nor the price version changes, nor, where prices differ by the hour, the price class. Within such a window an
hour is counted from its start, or from the window's month where the month begins inside the hour (Asia/Kolkata's begins
at half past in UTC).
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from entrepot.core.charges import Reading, Series
from entrepot.core.errors import NO_WORLD
from entrepot.core.installed import is_provisioned
from entrepot.core.money import PICO
from entrepot.core.periods import END_OF_TIME, HOUR, Instant, format_instant, hour_of, period_of
from entrepot.core.price_windows import Stretch, stretch_at
from entrepot.core.prices import SERVED_BY_UNITS, PriceTable, long_class
from entrepot.core.tenancy import Contract
from entrepot.core.tokens import INPUT_METERS, METERS
from entrepot.core.upgrades import models_of
from entrepot.core.usage_event import QUANTITY_MAX, UsageEvent, faults
from entrepot.core.world import DeclaredNames, WorldIndex
from entrepot.ports.books import MeteredUsage, Quarantined

# A single record above this is a slip of a price or a quantity. It also keeps sums of records far from the 64 bits that
# the store has for an amount, so that no usage can stop the fold.
CHARGE_PICO_MAX = 10**9 * PICO

_ALWAYS = Stretch(0, END_OF_TIME, "")
# Labels in usage are free text, and windows make places of each day, so there may be any number; then we start again.
_PLACES_MAX = 100_000

_Key = tuple[str, str, str, str, str]  # customer, project, deployment, model, tier


class _Place(NamedTuple):
    """Where usage of one key is counted while it is admitted in [begins, ends).

    meters: those that have a price, with the largest quantity of one record that is believed at that price.
    longer: (input length, where usage with more input than that goes), the greatest length first.
    """

    begins: Instant
    ends: Instant
    month: Instant
    series: Series
    meters: dict[str, int]
    longer: "tuple[tuple[int, _Place], ...]" = ()


class _Unpriced(Exception):
    """Why an event has no price, in a sentence that says what to declare."""


class Recorder:
    """Tells for each event what it is counted as under one world; None is the time before the first world."""

    def __init__(self, index: WorldIndex | None, names: DeclaredNames | None = None) -> None:
        """names: what was declared before, beside the world's own."""
        self._index = index
        self._names = names or DeclaredNames()
        self._places: dict[_Key, _Place] = {}  # The last of each key; usage mostly comes in the order of time.
        self._earlier: dict[_Key, list[_Place]] = {}
        self._kept = 0
        self._periods: dict[tuple[str, Instant], str] = {}

    def record(self, events: Sequence[UsageEvent]) -> tuple[list[MeteredUsage], list[Quarantined]]:
        """(what can be booked, what cannot), each in the order of the events."""
        metered: list[MeteredUsage] = []
        refused: list[Quarantined] = []
        book = metered.append
        last_place = self._places.get
        for event in events:
            place = last_place((event.customer, event.project, event.deployment, event.model, event.tier))
            if place is not None:
                begins, ends, month, series, priced, longer = place
                at = event.admitted_at
                if (
                    begins <= at < ends
                    and at <= event.finished_at < END_OF_TIME
                    and 0 < len(event.id) <= 128
                    and not longer
                ):
                    for meter, quantity in event.meters.items():
                        if not 0 <= quantity <= priced.get(meter, -1):
                            break
                    else:
                        if event.meters:
                            hour = at - at % HOUR
                            book(MeteredUsage(series, month if month > hour else hour, event))  # noqa: FURB136 is slow
                            continue
            self._look_up(event, metered, refused)
        return metered, refused

    def recount(self, reading: Reading) -> Series | str | None:
        """What all usage of a reading's series, meter and hour is counted in; None where that differs within the hour.

        A sentence where there is no price for it.
        """
        of, at = reading.series, reading.hour
        usage = UsageEvent("", at, at, of.customer, of.project, of.deployment, of.model, of.tier, {reading.meter: 1})
        try:
            place = self._kept_place(msgspec.structs.replace(usage, meters={}))
            if place.longer or not place.begins <= at < hour_of(at) + HOUR <= place.ends:
                return None
            _check_prices(usage, place)
        except _Unpriced as reason:
            return str(reason)
        return place.series

    def period_of(self, contract: str, hour: Instant) -> str:
        """The month of the contract's zone that an hour of its usage is in."""
        assert self._index is not None
        zone = self._index.contract(contract).zone
        known = self._periods.get((zone, hour))
        if known is None:
            if len(self._periods) >= _PLACES_MAX:
                self._periods.clear()
            known = self._periods[zone, hour] = str(period_of(hour, zone))
        return known

    def _look_up(self, event: UsageEvent, metered: list[MeteredUsage], refused: list[Quarantined]) -> None:
        """The same answer from the beginning, for what the short way above could not tell, with the reason."""
        invalid = faults(event)
        if invalid is None and event.raw and not event.meters:
            invalid = "the upstream's usage object could not be read; its text is kept with the event"
        if invalid is not None:
            refused.append(Quarantined(event=event, kind="invalid", reason=invalid))
            return
        try:
            place = self._kept_place(event)
            _check_prices(event, place)
        except _Unpriced as reason:
            refused.append(Quarantined(event=event, kind="unpriced", reason=str(reason)))
            return
        metered.append(MeteredUsage(place.series, max(hour_of(event.admitted_at), place.month), event))

    def _kept_place(self, event: UsageEvent) -> _Place:
        key = (event.customer, event.project, event.deployment, event.model, event.tier)
        for place in self._earlier.get(key, ()):
            if place.begins <= event.admitted_at < place.ends:
                break
        else:
            place = self._place(event)
            if self._kept >= _PLACES_MAX:
                self._places.clear()
                self._earlier.clear()
                self._kept = 0
            self._kept += 1
            self._earlier.setdefault(key, []).append(place)
        self._places[key] = place
        if place.longer:
            length = sum(event.meters.get(meter, 0) for meter in INPUT_METERS)
            return next((longer for limit, longer in place.longer if length > limit), place)
        return place

    def _place(self, event: UsageEvent) -> _Place:
        if self._index is None:
            raise _Unpriced(NO_WORLD)
        _check_names(event, self._index, self._names)
        at = event.admitted_at
        contract = self._index.contract_at(event.customer, at)
        if contract is None:
            raise _Unpriced(
                f"customer {event.customer!r} has no contract in force at {format_instant(at)}; "
                "declare one that is effective by then"
            )
        begins, ends, table = _prices_at(self._index, contract, at)
        month = period_of(at, contract.zone)
        month_begins = month.start(contract.zone)
        stretch = stretch_at(windows, at) if (windows := table.windows(event.model)) else _ALWAYS
        steps = self._index.installed.get((event.project, event.deployment), ())
        since, until, served_by_units = is_provisioned(steps, at) if steps else (0, END_OF_TIME, False)
        place = _Place(
            begins=max(begins, contract.effective_from, month_begins, stretch.begins, since),
            ends=min(ends, contract.effective_to, month.end(contract.zone), stretch.ends, until),
            month=month_begins,
            series=Series(
                contract=contract.id,
                price_version=table.version.id,
                customer=event.customer,
                project=event.project,
                deployment=event.deployment,
                model=event.model,
                tier=event.tier,
                price_class=stretch.names,
            ),
            meters={},
        )
        if served_by_units:
            return _priced(place, table, SERVED_BY_UNITS)
        longer = [
            (limit, _priced(place, table, f"{long_class(limit)} {stretch.names}".rstrip()))
            for limit in table.long_inputs(event.model)
        ]
        return _priced(place, table, stretch.names)._replace(longer=tuple(longer))


def _priced(place: _Place, table: PriceTable, price_class: str) -> _Place:
    """The place for usage of a class, with what can be booked there."""
    series = msgspec.structs.replace(place.series, price_class=price_class)
    meters = {
        meter: min(QUANTITY_MAX, CHARGE_PICO_MAX // max(price.dearest_pico, 1))
        for meter in sorted(METERS)
        if (price := table.price(series.model, meter, series.tier, price_class)) is not None
    }
    return place._replace(series=series, meters=meters)


def _check_names(event: UsageEvent, index: WorldIndex, names: DeclaredNames) -> None:
    """Names must have been declared as the usage has them, now or before; one that is not declared now is a label."""
    if event.customer not in index.customers:
        raise _Unpriced(f"customer {event.customer!r} is not declared; declare the customer and a contract")
    project = index.projects.get(event.project)
    if (
        project is not None
        and project.customer != event.customer
        and not names.has_project(event.project, event.customer)
    ):
        raise _Unpriced(
            f"project {event.project!r} belongs to customer {project.customer!r}, not {event.customer!r}; "
            "correct the usage, or declare the project under this customer"
        )
    deployment = index.deployments.get((event.project, event.deployment))
    if (
        deployment is not None
        and all(event.model != of.model for of in models_of(deployment, index.models))
        and not names.has_deployment(event.project, event.deployment, event.model)
    ):
        raise _Unpriced(
            f"deployment {event.deployment!r} of project {event.project!r} serves model {deployment.model!r}, "
            f"not {event.model!r}; correct the usage, or declare the deployment with this model"
        )


def _prices_at(index: WorldIndex, contract: Contract, at: Instant) -> tuple[Instant, Instant, PriceTable]:
    """(from, until, prices) of the contract's price book version in force at the instant."""
    versions = index.price_versions(contract.price_book, contract.zone)
    for number, (begins, version) in enumerate(versions):
        ends = versions[number + 1][0] if number + 1 < len(versions) else END_OF_TIME
        if begins <= at < ends:
            return begins, ends, index.prices(version.id)
    raise _Unpriced(
        f"price book {contract.price_book!r} has no version in force at {format_instant(at)}; "
        "declare one that is effective by then"
    )


def _check_prices(event: UsageEvent, place: _Place) -> None:
    for meter, quantity in event.meters.items():
        if quantity and meter not in place.meters:
            raise _Unpriced(
                f"price book version {place.series.price_version} has no price for {meter} of model {event.model!r} "
                f'in tier {event.tier!r}; declare it, at "0" if it is meant to be free'
            )
        if abs(quantity) > place.meters.get(meter, 0):
            raise _Unpriced(
                f"{quantity} {meter} of model {event.model!r} come to more than {CHARGE_PICO_MAX // PICO:,} in one "
                "record; correct the price, or record the usage in parts"
            )
