"""What is counted at every request; counting.c, compiled beside it, is imported in its place."""

COUNTED_MAX = 2**44


class Histogram:
    """A histogram of core.metrics whose bounds are first, and each 2**doublings times the last."""

    def __init__(self, first: int, doublings: int, bounds: int) -> None:
        """bounds: how many."""
        self._first = first
        self._doublings = doublings
        self._numbers = [0] * (bounds + 2)

    def count(self, value: int) -> None:
        """Counts a value."""
        value = _counted(value)
        bound, at, above = self._first, 0, len(self._numbers) - 2
        while value > bound and at < above:
            bound <<= self._doublings
            at += 1
        self._numbers[at] += 1
        self._numbers[-1] += value

    def numbers(self) -> list[int]:
        """How many there were in each bucket, how many above all bounds, the sum."""
        return list(self._numbers)


class Totals:
    """Sums by name."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def add(self, units: dict[str, int]) -> None:
        """Adds units to their totals."""
        for name, number in units.items():
            self._numbers[name] = self._numbers.get(name, 0) + _counted(number)

    def count(self, name: str) -> None:
        """Adds one."""
        self._numbers[name] = self._numbers.get(name, 0) + 1

    def numbers(self) -> dict[str, int]:
        """All of them."""
        return dict(self._numbers)


def _counted(value: int) -> int:
    """What is counted of a value: no more than anything real comes to, so that sums fit 64 bits for ever."""
    return min(max(value, 0), COUNTED_MAX)
