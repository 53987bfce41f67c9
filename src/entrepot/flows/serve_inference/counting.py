"""What counts the tokens of prompts in this process, as the models of its snapshot do."""

from collections.abc import Callable, Iterable
from typing import Final

from entrepot.dialects.estimates import bytes_of
from entrepot.ports.tokenizers import Tokenizers

SHORT_MAX: Final = 16  # Letters; roles are no longer.
KNOWN_MAX: Final = 1_000  # Texts, of each tokenizer.


class Counting:
    """missing: tokenizers that prompts are to be counted with, and that are not loaded."""

    def __init__(self, tokenizers: Tokenizers) -> None:
        self._tokenizers = tokenizers
        self._began = False
        self._counters: dict[str, Callable[[str], int]] = {}
        self.missing: tuple[str, ...] = ()

    def follow(self, tokenizers: Iterable[str]) -> None:
        """Prompts are counted with these from now on; "" is none.

        The first time loads what that takes; later it would stop everything that is being served.
        """
        names = sorted({*tokenizers} - {""})
        for name in () if self._began else names:
            self._tokenizers.load(name)
        self._began = True
        found = {name: self._tokenizers.counter(name) for name in names}
        self._counters = {name: _Counter(count).count for name, count in found.items() if count is not None}
        self.missing = tuple(name for name in names if name not in self._counters)

    def of(self, tokenizer: str) -> Callable[[str], int]:
        """What counts the tokens of a text; their bytes, where it is not known how a model counts, or not yet."""
        return self._counters.get(tokenizer, bytes_of)


class _Counter:
    """A tokenizer, with what it made of short texts: every message has a role, and there are five of those."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._known: dict[str, int] = {}

    def count(self, text: str) -> int:
        """The tokens of a text."""
        if len(text) > SHORT_MAX:
            return self._count(text)
        known = self._known.get(text)
        if known is None:
            known = self._count(text)
            if len(self._known) < KNOWN_MAX:
                self._known[text] = known
        return known
