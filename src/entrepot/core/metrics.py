"""Metrics as the processes of a machine exchange them: definitions, integers by label values, and their sum."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

Labels = tuple[str, ...]


class Metric(msgspec.Struct, frozen=True):
    """What is measured. Integers are kept; `per` of them make one of the unit (10^6 where µs are kept and s are shown).

    labels: their names. bounds: upper bounds of a histogram's buckets, inclusive, in what is kept.
    joined: what several processes' values come to together.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    unit: str = ""
    per: int = 1
    bounds: tuple[int, ...] = ()
    joined: Literal["sum", "max", "min"] = "sum"

    def zeros(self) -> list[int]:
        """The values of a sample before anything is counted."""
        return [0] * (len(self.bounds) + 2 if self.kind == "histogram" else 1)

    @property
    def lasts(self) -> bool:
        """Whether the values go on counting when the process that counted is gone."""
        return self.kind != "gauge"

    def adds_to(self, other: "Metric") -> bool:
        """Whether values of both can be added: whatever they say of themselves, they count the same."""
        return msgspec.structs.replace(self, help="") == msgspec.structs.replace(other, help="")


class Measured(msgspec.Struct, frozen=True):
    """A metric's samples: {label values: [value]}.

    Of a histogram: [how many in each bucket …, how many above all bounds, the sum].
    """

    metric: Metric
    values: Mapping[Labels, list[int]]


Report = tuple[Measured, ...]


def alone(metric: Metric, value: int) -> Measured:
    """The one sample of a metric without labels."""
    return Measured(metric, {(): [value]})


def together(reports: Iterable[Report]) -> Iterator[Measured]:
    """What all the processes come to, a metric at a time, in the order in which they are first met.

    A metric that another version of the program defines otherwise is left out from there on: it cannot be added.
    """
    found: dict[str, list[Measured]] = {}
    for report in reports:
        for measured in report:
            found.setdefault(measured.metric.name, []).append(measured)
    for first, *others in found.values():
        values = {labels: list(numbers) for labels, numbers in first.values.items()}
        for other in others:
            if other.metric.adds_to(first.metric):
                _add(first.metric, values, other.values)
        yield Measured(first.metric, values)


def lasting(report: Report) -> Report:
    """What of a report still counts when its process is gone."""
    return tuple(measured for measured in report if measured.metric.lasts)


def _add(metric: Metric, values: dict[Labels, list[int]], more: Mapping[Labels, list[int]]) -> None:
    for labels, numbers in more.items():
        known = values.get(labels)
        if known is None:
            values[labels] = list(numbers)
        elif metric.joined == "sum":
            values[labels] = [one + other for one, other in zip(known, numbers, strict=True)]
        else:
            values[labels] = [(max if metric.joined == "max" else min)(known[0], numbers[0])]
