"""Up to when usage is complete: nothing admitted before the watermark can still arrive."""

from entrepot.core.periods import HOUR, Instant


def watermark(at: Instant, oldest_open: Instant | None) -> Instant:
    """The instant before which usage is complete, when everything admitted before `at` is known save open requests."""
    return at if oldest_open is None else min(at, oldest_open)


def complete_hours(mark: Instant) -> Instant:
    """The instant before which an hour must start to lie wholly before the watermark."""
    return mark - HOUR + 1
