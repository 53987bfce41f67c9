"""What counts the tokens of texts as a model does."""

from collections.abc import Callable
from typing import Protocol


class Tokenizers(Protocol):
    """Tokenizers by the names that models have for them (core.quotas.TOKENIZERS)."""

    def load(self, name: str) -> None:
        """Makes it ready. That takes half a second, in which the process does nothing else."""
        ...

    def counter(self, name: str) -> Callable[[str], int] | None:
        """What counts the tokens of a text, special ones as the ordinary text they are written as; None: not loaded."""
        ...
