"""What counts the tokens of prompts in this process, as the models of its snapshot do."""

from collections.abc import Callable, Iterable

from entrepot.dialects.estimates import bytes_of
from entrepot.ports.tokenizers import Tokenizers


class Counting:
    """missing: tokenizers that prompts are to be counted with, and that are not loaded."""

    def __init__(self, tokenizers: Tokenizers) -> None:
        self._tokenizers = tokenizers
        self._began = False
        self.missing: tuple[str, ...] = ()

    def follow(self, tokenizers: Iterable[str]) -> None:
        """Prompts are counted with these from now on; "" is none.

        The first time loads what that takes; later it would stop everything that is being served.
        """
        names = sorted({*tokenizers} - {""})
        for name in () if self._began else names:
            self._tokenizers.load(name)
        self._began = True
        self.missing = tuple(name for name in names if self._tokenizers.counter(name) is None)

    def of(self, tokenizer: str) -> Callable[[str], int]:
        """What counts the tokens of a text; their bytes, where it is not known how a model counts, or not yet."""
        return self._tokenizers.counter(tokenizer) or bytes_of
