"""What an upstream says it served."""

from typing import Literal, Protocol

import msgspec

from entrepot.core.catalog import Upstream


class ServedUsage(msgspec.Struct, frozen=True):
    """An upstream's own account of one request. usage: its usage object as JSON bytes, verbatim."""

    state: Literal["running", "finished", "cancelled", "unknown"]
    usage: bytes = b""


class UpstreamUsage(Protocol):
    """Asking an upstream after the fact."""

    def served(self, upstream: Upstream, request_id: str) -> ServedUsage | None:
        """The upstream's account; state unknown when the request never reached it; None when it cannot be asked now."""
        ...
