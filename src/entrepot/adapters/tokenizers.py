"""The tokenizers whose vocabularies come in a package: exact, and about 3 µs for 1,000 bytes of English.

One takes about 50 MB of memory and half a second to load, so each is loaded when the first model asks for it.
Loading holds the interpreter's lock all the while: in a thread it would keep open streams waiting just as long.
"""

from collections.abc import Callable


class BundledTokenizers:
    """Meets the port Tokenizers."""

    def __init__(self) -> None:
        self._counters: dict[str, Callable[[str], int]] = {}

    def counter(self, name: str) -> Callable[[str], int]:
        """See Tokenizers."""
        counter = self._counters.get(name)
        if counter is None:
            from toktok._toktok import Tokenizer

            counter = self._counters[name] = Tokenizer(name, "").count
        return counter
