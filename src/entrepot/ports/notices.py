"""Telling people something: what was said, and who says it."""

from collections.abc import Sequence
from typing import Protocol

from entrepot.core.notices import Notice
from entrepot.core.periods import Instant


class KeptNotices(Protocol):
    """The notices so far, sent or not; they outlive the process."""

    def load(self) -> list[Notice]:
        """All of them."""
        ...

    def save(self, notices: Sequence[Notice]) -> None:
        """Replaces them, durably."""
        ...


class Messenger(Protocol):
    """Carries notices to their recipients."""

    def carry(self, notice: Notice, at: Instant) -> str:
        """Why it could not be delivered now, in a sentence; "" when its recipient has taken it."""
        ...
