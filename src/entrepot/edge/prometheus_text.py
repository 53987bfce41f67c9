"""Metrics in Prometheus' text format, a metric at a time, so that whoever writes them can do other things in between.

Source: Prometheus exposition formats, text-based format 0.0.4.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from entrepot.core.metrics import Labels, Measured, Metric


def written(report: Iterable[Measured]) -> Iterator[str]:
    """The text, a piece for each metric's head and for each of its samples."""
    for measured in report:
        metric = measured.metric
        yield f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.kind}\n"
        yield from _samples(measured)


def _samples(measured: Measured) -> Iterator[str]:
    metric = measured.metric
    for values, numbers in sorted(measured.values.items()):
        labels = _labels(metric.labels, values)
        if metric.kind == "histogram":
            yield _histogram(metric, labels, numbers)
        else:
            yield f"{metric.name}{_braced(labels)} {_number(numbers[0], metric.per)}\n"


def _histogram(metric: Metric, labels: str, numbers: list[int]) -> str:
    *counts, total = accumulate(numbers[:-1])
    before = f"{labels}," if labels else ""
    bounds = [_number(bound, metric.per) for bound in metric.bounds]
    lines = [f'{metric.name}_bucket{{{before}le="{le}"}} {n}\n' for le, n in zip(bounds, counts, strict=True)]
    lines.append(f'{metric.name}_bucket{{{before}le="+Inf"}} {total}\n')
    lines.append(f"{metric.name}_sum{_braced(labels)} {_number(numbers[-1], metric.per)}\n")
    lines.append(f"{metric.name}_count{_braced(labels)} {total}\n")
    return "".join(lines)


def _labels(names: Labels, values: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _braced(labels: str) -> str:
    return f"{{{labels}}}" if labels else ""


def _number(value: int, per: int) -> str:
    """The value in the metric's unit, exactly."""
    if per == 1:
        return str(value)
    whole, rest = divmod(abs(value), per)
    digits = f"{rest:0{len(str(per)) - 1}d}".rstrip("0")
    return f"{'-' if value < 0 else ''}{whole}{'.' if digits else ''}{digits}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
