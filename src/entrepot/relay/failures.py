"""What a client is told when an attempt at an upstream comes to nothing."""

from collections.abc import Callable

from entrepot.core.errors import EntrepotError, UpstreamFailed, UpstreamTimeout, UpstreamUnavailable
from entrepot.relay.attempt import Failure


def error_of(failure: Failure) -> EntrepotError:
    """The error for a failure's reason."""
    return _ERRORS[failure.reason]()


def unreachable() -> UpstreamUnavailable:
    """The error where no upstream is left to try."""
    return UpstreamUnavailable("No upstream of this model can be reached at the moment; try again.", retry_after_s=1)


_ERRORS: dict[str, Callable[[], EntrepotError]] = {
    "unreachable": unreachable,
    "silent": lambda: UpstreamTimeout("The upstream did not answer in time."),
    "broken": lambda: UpstreamFailed("The upstream broke off before its answer was complete."),
    "crashed": lambda: EntrepotError("Something went wrong here; the operator can find it by the request id."),
    "unusable": lambda: UpstreamFailed("The upstream answered something that cannot be relayed."),
}
