"""Work that is done in small steps, so that a process which serves can do something else between two of them.

It is a generator: each `next` is a step, and what it returns is the result.
"""

from collections.abc import Collection, Generator
from itertools import chain, islice
from typing import TypeVar

T = TypeVar("T")

_AT_A_TIME = 100


def at_once(steps: Generator[None, None, T]) -> T:
    """The result, all steps done."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result


def letting_go(holding: list[Collection[object]]) -> Generator[None, None, None]:
    """Lets go of what collections hold that nobody else has: many objects that go together take long to go.

    holding: empty afterwards.
    """
    while holding:
        going = holding.pop()
        each = chain(going.values(), going) if isinstance(going, dict) else iter(going)
        left = []
        while some := list(islice(each, _AT_A_TIME)):
            left.append(some)
            yield
        del going, each
        while left:
            yield
            left.pop()
