"""The upstreams that can serve a deployment, and the order in which a request tries them.

Orders are made when the health of an upstream changes, not when a request comes: a request takes the next of a list in
which each upstream stands first as often as its weight says. A request with a key is an exception: it goes by
rendezvous hashing, where each upstream draws a number for the key and the lowest wins, so that an upstream that is lost
moves only its own keys, and gets them back. Source: Thaler and Ravishankar, "Using name-based mappings to increase hit
rates"; weights by Schindelhauer and Schomaker, "Weighted distributed hash tables".
"""

import math
from collections.abc import Sequence
from functools import reduce
from hashlib import blake2b
from typing import Generic, NamedTuple, TypeVar

from entrepot.core.periods import Instant
from entrepot.core.upstream_rules import PoolRules
from entrepot.routing.endpoint import Endpoint
from entrepot.routing.retry_budget import RetryBudget

_DRAWS = 2**64


class Leading:
    """What leads to an upstream. A class to derive from, for what is asked of it is asked for each request."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint


WayT = TypeVar("WayT", bound=Leading)


class Member(NamedTuple, Generic[WayT]):
    """A way to one upstream. rank: only when none of a lower one can serve; weight: at least 1."""

    way: WayT
    rank: int
    weight: int


class Pool(Generic[WayT]):
    """requests: how many were given an order. has_choice: whether a key would make a difference.

    always_tries: a request is tried somewhere even when all of the pool fails.
    """

    __slots__ = (
        "_ladder",
        "_left_out",
        "_members",
        "_turns",
        "always_tries",
        "budget",
        "has_choice",
        "requests",
        "rules",
    )

    def __init__(self, members: Sequence[Member[WayT]], rules: PoolRules) -> None:
        self.rules = rules
        self.requests = 0
        self.budget = RetryBudget(rules.retry_percent)
        self._members = members
        self._left_out = len(members) * rules.ejected_percent_max // 100
        self.always_tries = self._left_out < len(members)
        self.arrange()

    @property
    def endpoints(self) -> list[Endpoint]:
        """All of its upstreams."""
        return [member.way.endpoint for member in self._members]

    def order(self) -> tuple[WayT, ...]:
        """The ways in the order to try them; empty when there is none."""
        turns = self._turns
        turn = self.requests
        self.requests = turn + 1
        return turns[turn % len(turns)]

    def order_for(self, key: bytes) -> tuple[WayT, ...]:
        """The same for requests with this key, which keep to one upstream while it is there."""
        self.requests += 1
        ladder = (sorted(rank, key=lambda item: _draw(item, key)) for rank in self._ladder)
        return tuple([member.way for rank in ladder for member in rank])

    def enter(self, ways: tuple[WayT, ...], begin: int) -> int:
        """The index of the first way, from begin on, whose endpoint was entered for an attempt; -1 for none."""
        for at in range(begin, len(ways)):
            if ways[at].endpoint.enter():
                return at
        if self.always_tries and not begin:
            for at, way in enumerate(ways):
                if not way.endpoint.slots and way.endpoint.enter(untried=True):
                    return at
        return -1

    def back_in(self, at: Instant) -> int:
        """Microseconds until the first of those that were ejected may be tried again; 0 when one may be now."""
        return max(0, min((item.way.endpoint.health.back_at for item in self._members), default=0) - at)

    def all_ways(self) -> list[WayT]:
        """Every way, those to what is available now first."""
        members = sorted(self._members, key=lambda item: (not item.way.endpoint.health.is_available, item.rank))
        return [item.way for item in members]

    def arrange(self) -> None:
        """To be called when the health of an upstream has changed.

        Those that are not available are left out, but no more than ejected_percent_max of all: of the others who was
        ejected first comes last in every order, for want of a better one.
        """
        away = sorted(
            (item for item in self._members if not item.way.endpoint.health.is_available),
            key=lambda item: item.way.endpoint.health.back_at,
        )
        last = away[: max(len(away) - self._left_out, 0)]
        ranks: dict[int, list[Member[WayT]]] = {}
        for item in self._members:
            if item not in away:
                ranks.setdefault(item.rank, []).append(item)
        self._ladder = [*(ranks[rank] for rank in sorted(ranks)), *([item] for item in last)]
        first, *others = self._ladder or [[]]
        behind = tuple(item.way for rank in others for item in rank)
        rotated = [tuple(item.way for item in (*first[at:], *first[:at])) + behind for at in range(len(first))]
        self._turns = [rotated[at] for at in _spread([item.weight for item in first])] or [()]
        self.has_choice = len(first) > 1


def _spread(weights: Sequence[int]) -> list[int]:
    """Each index as often as its weight says, and as evenly as that can be (smooth weighted round robin)."""
    divisor = reduce(math.gcd, weights, 0) or 1
    shares = [weight // divisor for weight in weights]
    credit = [0] * len(shares)
    turns = []
    for _ in range(sum(shares)):
        credit = [have + share for have, share in zip(credit, shares, strict=True)]
        chosen = credit.index(max(credit))
        credit[chosen] -= sum(shares)
        turns.append(chosen)
    return turns


def _draw(member: Member[WayT], key: bytes) -> float:
    """The member's number for the key, the better the lower."""
    drawn = int.from_bytes(blake2b(key, digest_size=8, key=member.way.endpoint.upstream.encode()[:64]).digest(), "big")
    return -math.log((drawn + 1) / _DRAWS) / member.weight
