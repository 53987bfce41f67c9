"""Where in a world file something is wrong, and what."""

import difflib
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong at a place, in a sentence that says what to do."""

    place: Place
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


def suggestion(word: str, options: Collection[str]) -> str:
    """ "; did you mean …?" for the nearest option, or nothing when none is near."""
    near = difflib.get_close_matches(word, sorted(options), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
