"""Failures of work that is tried again for ever: one line on stderr for each new reason, not for each attempt."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def complain(text: str) -> None:
    """Writes a line that the operator is to see."""
    sys.stderr.write(f"WARNING {text}\n")
    sys.stderr.flush()


class Fault:
    """Work that is tried again and again. said: called with a failure whose reason is not that of the last one.

    expected: exceptions that count as such a failure; all others are raised.
    """

    def __init__(
        self, said: Callable[[str], None], name: str, expected: type[Exception] | tuple[type[Exception], ...] = OSError
    ) -> None:
        self._said = said
        self._name = name
        self._expected = expected
        self._reason = ""

    @contextmanager
    def told(self) -> Iterator[None]:
        """An attempt; an expected exception is reported and not raised."""
        try:
            yield
        except self._expected as error:
            reason = (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"
            if reason != self._reason:
                self._said(f"{self._name} reason={reason}; it is tried again")
            self._reason = reason

    def over(self) -> None:
        """The work succeeded: the next failure is reported, whatever its reason."""
        self._reason = ""
