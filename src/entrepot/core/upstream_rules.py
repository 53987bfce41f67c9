"""What an operator lays down about upstreams, and about the pool of those that serve a model. Times in milliseconds."""

from typing import Literal

import msgspec

# What becomes of the upstream's answer when its client has left: read to its end; broken off; broken off, for nothing.
AbortRule = Literal["drain", "cancel", "no_bill"]
# What keeps requests at one upstream: the cache key they name; else their first words; nothing.
Sticky = Literal["key", "prompt", "none"]
# What a region asked for means: it comes first; nothing else may serve.
Residency = Literal["prefer", "require"]


class Timeouts(msgspec.Struct, frozen=True):
    """How long an upstream may take.

    first_byte_ms: from the request to the answer's first byte; silence_ms: between bytes after that; total_ms: all of
    it, also of an answer that is read for a client that has left.
    """

    connect_ms: int = 5_000
    first_byte_ms: int = 120_000
    silence_ms: int = 120_000
    total_ms: int = 3_600_000


class HealthRules(msgspec.Struct, frozen=True):
    """When an upstream is ejected, and for how long.

    failures: so many in a row; failure_percent: or so much of at least `requests` requests within window_ms. eject_ms:
    the first time; each further time it doubles, to eject_ms_max. check_path: asked for every check_every_ms, behind
    the base URL; "" for never.
    """

    failures: int = 5
    failure_percent: int = 50
    requests: int = 20
    window_ms: int = 10_000
    eject_ms: int = 5_000
    eject_ms_max: int = 300_000
    check_path: str = ""
    check_every_ms: int = 5_000


class UpstreamRules(msgspec.Struct, frozen=True):
    """One upstream's. max_concurrent: requests of one gateway process at a time, 0 for any number."""

    region: str = ""
    max_concurrent: int = 0
    on_client_abort: AbortRule = "cancel"
    timeouts: Timeouts = Timeouts()
    health: HealthRules = HealthRules()


class PoolRules(msgspec.Struct, frozen=True):
    """How requests go to the upstreams of one model.

    retries: further upstreams a request may try; retry_percent: of requests, how many may be such tries.
    hedge_after_ms: without a first byte by then a second upstream is asked as well; 0 for never.
    ejected_percent_max: of the pool's upstreams; those that failed longest ago are tried all the same, as the last.
    """

    sticky: Sticky = "key"
    retries: int = 2
    retry_percent: int = 20
    hedge_after_ms: int = 0
    ejected_percent_max: int = 50

    def __str__(self) -> str:
        return ", ".join(f"{name} {getattr(self, name)}" for name in self.__struct_fields__)
