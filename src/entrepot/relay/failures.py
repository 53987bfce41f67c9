"""What a client is told when an attempt at an upstream comes to nothing."""

from collections.abc import Callable

from entrepot.core.errors import EntrepotError, UpstreamBusy, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from entrepot.core.periods import SECOND
from entrepot.relay.attempt import Failure


def error_of(failure: Failure) -> EntrepotError:
    """The error for a failure's reason."""
    return _ERRORS[failure.reason]()


def unreachable(for_us: int = 0) -> UpstreamUnavailable:
    """The error where no upstream is left to try. for_us: how long that will stay so, if that is known."""
    return UpstreamUnavailable(
        "No upstream of this model can be reached at the moment; try again.", retry_after_s=max(1, for_us / SECOND)
    )


def all_busy() -> UpstreamBusy:
    """The error where all upstreams have as many requests as they may."""
    return UpstreamBusy(
        "Every upstream of this model has as many requests as it takes at a time; try again.", retry_after_s=1
    )


def crashed() -> EntrepotError:
    """The error where a bug of ours ends the request."""
    return EntrepotError("Something went wrong here; the operator can find it by the request id.")


_ERRORS: dict[str, Callable[[], EntrepotError]] = {
    "unreachable": unreachable,
    "silent": lambda: UpstreamTimeout("The upstream did not answer in time."),
    "broken": lambda: UpstreamFailed("The upstream broke off before its answer was complete."),
    "crashed": crashed,
    "unusable": lambda: UpstreamFailed("The upstream answered something that cannot be relayed."),
}
