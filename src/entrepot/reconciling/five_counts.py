"""Five counts of the same hours: log, store, readings, ledger, invoices; which place differs, and whose count."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from entrepot.core.money import format_pico
from entrepot.core.periods import Instant, format_instant


class Place(NamedTuple):
    """Where things are counted."""

    contract: str
    hour: Instant
    meter: str

    def __str__(self) -> str:
        return f"contract {self.contract}, {self.meter}, hour {format_instant(self.hour)}"


Counts = Mapping[Place, int]
NAMES = ("the log", "the store", "the readings")


def unit_faults(log: Counts, store: Counts, readings: Counts) -> Iterator[str]:
    """A sentence for each place in which log, store and readings do not have the same units."""
    for place in sorted(log.keys() | store.keys() | readings.keys()):
        counts = (log.get(place, 0), store.get(place, 0), readings.get(place, 0))
        if len(set(counts)) > 1:
            yield f"{_odd_one(counts)}: {place}: {_told(counts)}"


def _odd_one(counts: Sequence[int]) -> str:
    """Which of three counts stands alone."""
    for one, name in enumerate(NAMES):
        others = {counts[other] for other in range(len(counts)) if other != one}
        if len(others) == 1:
            return name
    return "all three"


def _told(counts: Sequence[int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(NAMES, counts, strict=True))


def invoice_faults(invoiced: Counts, taken: Counts) -> Iterator[str]:
    """A sentence for each place in which readings say they are invoiced otherwise than lines of invoices took them."""
    for place in sorted(invoiced.keys() | taken.keys()):
        marked, lines = invoiced.get(place, 0), taken.get(place, 0)
        if marked != lines:
            yield f"the invoices: {place}: readings {marked:,} invoiced, lines {lines:,}"


class Accrued(NamedTuple):
    """What one hour of a contract's model comes to: by meter as rated, and as the ledger's legs have it; in pico."""

    rated: dict[str, int]
    legs: list[int]


def ledger_faults(hours: Mapping[tuple[str, Instant, str], Accrued]) -> Iterator[str]:
    """A sentence for each hour of a contract's model whose accruals are not what its posted readings come to."""
    for (contract, hour, model), accrued in sorted(hours.items()):
        rated, posted = sum(accrued.rated.values()), sum(accrued.legs)
        if rated == posted:
            continue
        odd = [meter for meter, pico in sorted(accrued.rated.items()) if pico and pico not in accrued.legs]
        meters = " or ".join(odd or sorted(accrued.rated) or ["no reading"])
        yield (
            f"the ledger: {Place(contract, hour, meters)}, model {model}: readings come to {format_pico(rated)}, "
            f"entries to {format_pico(posted)}"
        )
