"""A model's life: its stages, when each begins, who may use it before it is for all, and what takes its place."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from entrepot.core.periods import END_OF_TIME, Instant, format_instant

Stage = Literal["preview", "early_access", "general", "deprecated", "retired"]

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)  # In the order of a life, which no model goes back in.
BY_GRANT: Final = frozenset[Stage]({"preview", "early_access"})  # For customers with a grant alone.

# When a deployment leaves its model for the model's successor: once that is the default, or once the model is retired.
Upgrade = Literal["on_new_default", "on_retirement", "never"]

UPGRADES: Final[tuple[Upgrade, ...]] = get_args(Upgrade)


class StageFrom(msgspec.Struct, frozen=True):
    """The stage that a model is in from an instant on."""

    begins: Instant
    stage: Stage

    def __str__(self) -> str:
        return f"{self.stage} from {format_instant(self.begins)}"


class Access(msgspec.Struct, frozen=True):
    """That a customer may use a model before it is for all, from begins until ends."""

    customer: str
    begins: Instant = 0
    ends: Instant = END_OF_TIME

    def __str__(self) -> str:
        since = f" from {format_instant(self.begins)}" if self.begins else ""
        until = f" to {format_instant(self.ends)}" if self.ends != END_OF_TIME else ""
        return f"{self.customer}{since}{until}"


class Successor(msgspec.Struct, frozen=True):
    """The model that takes a model's place. begins: when it is the default; END_OF_TIME where no date says so."""

    model: str
    begins: Instant = END_OF_TIME

    def __str__(self) -> str:
        return self.model if self.begins == END_OF_TIME else f"{self.model} from {format_instant(self.begins)}"


def stage_at(first: Stage, changes: Sequence[StageFrom], at: Instant) -> Stage:
    """The stage in force. first: until the changes, which are in the order of time."""
    return next((change.stage for change in reversed(changes) if change.begins <= at), first)


def begins_at(changes: Sequence[StageFrom], stage: Stage) -> Instant | None:
    """When the stage begins, or None when no date says so."""
    return next((change.begins for change in changes if change.stage == stage), None)


def retired_at(first: Stage, changes: Sequence[StageFrom]) -> Instant:
    """When the model is retired; END_OF_TIME when no date says so."""
    if first == "retired":
        return 0
    begins = begins_at(changes, "retired")
    return END_OF_TIME if begins is None else begins
