"""The gateway's metrics: counted by additions, written by hand in Prometheus' text format.

Names are OpenTelemetry's where it has one (gen_ai.client.token.usage), else entrepot_…; no customer is ever a label.
Source: Prometheus exposition formats, text-based format 0.0.4.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple


class Tally:
    """What has been answered since the process began. answers: {(route, status): n}; errors: {code: n}."""

    __slots__ = ("answers", "errors")

    def __init__(self) -> None:
        self.answers: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}

    def answered(self, route: str, status: int) -> None:
        """An answer was begun."""
        key = (route, status)
        self.answers[key] = self.answers.get(key, 0) + 1

    def failed(self, code: str) -> None:
        """An error of our own was answered."""
        self.errors[code] = self.errors.get(code, 0) + 1


class Family(NamedTuple):
    """One metric. samples: (labels, value); labels are {name: value}."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    samples: Iterable[tuple[Mapping[str, str], float]]


def alone(value: float) -> list[tuple[Mapping[str, str], float]]:
    """The one sample of a metric without labels."""
    return [({}, value)]


def write_metrics(families: Iterable[Family]) -> bytes:
    """The metrics as text."""
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {family.help}")
        lines.append(f"# TYPE {family.name} {family.type}")
        lines.extend(f"{family.name}{_labels(labels)} {value}" for labels, value in family.samples)
    return "\n".join([*lines, ""]).encode()


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
