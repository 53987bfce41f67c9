"""A model's life: its stages, when each begins, and who may use it before it is for all."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

import msgspec

from entrepot.core.periods import END_OF_TIME, Instant, format_instant

Stage = Literal["preview", "early_access", "general", "deprecated", "retired"]

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)  # In the order of a life, which no model goes back in.
BY_GRANT: Final = frozenset[Stage]({"preview", "early_access"})  # For customers with a grant alone.


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


def stage_at(first: Stage, changes: Sequence[StageFrom], at: Instant) -> Stage:
    """The stage in force. first: until the changes, which are in the order of time."""
    return next((change.stage for change in reversed(changes) if change.begins <= at), first)


def begins_at(changes: Sequence[StageFrom], stage: Stage) -> Instant | None:
    """When the stage begins, or None when no date says so."""
    return next((change.begins for change in changes if change.stage == stage), None)
