"""The tokenizers whose vocabularies come in a package: exact, and about 3 µs for 1,000 bytes of English.

One takes about 50 MB of memory and half a second to load, so only those are loaded that models ask for. Loading holds
the interpreter's lock all the while: in a thread it would keep open streams waiting just as long.
"""

from collections.abc import Callable


class BundledTokenizers:
    """Meets the port Tokenizers."""

    def __init__(self) -> None:
        self._counters: dict[str, Callable[[str], int]] = {}

    def load(self, name: str) -> None:
        """See Tokenizers."""
        if name not in self._counters:
            from toktok._toktok import Tokenizer

            self._counters[name] = Tokenizer(name, "").count

    def counter(self, name: str) -> Callable[[str], int] | None:
        """See Tokenizers."""
        return self._counters.get(name)
