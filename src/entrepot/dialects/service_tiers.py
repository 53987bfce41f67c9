"""The tier of service in requests and answers: what a client asks for, and what it is told that it got."""

import re
from functools import partial
from typing import Final

from entrepot.core.service_tiers import billed_tier
from entrepot.dialects.asked import Asked, text_of

_FAST = "fast"  # Another name of priority.

# A quote inside JSON text is written \", so this is never a part of somebody's words.
_SAID: Final = re.compile(rb'"service_tier"(\s*:\s*)(?:null|"(auto|default|fast|flex|priority|scale|standard)")')


def tier_of(asked: Asked) -> str:
    """The tier of service that a request names, `auto` where it names none. Raises: InvalidRequest."""
    tier = text_of(asked.known, "service_tier") or "auto"
    return "priority" if tier == _FAST else tier


def with_tier(answer: bytes, tier: str) -> bytes:
    """A whole answer, or whole events, in which an upstream's service_tier is the one that is billed.

    tier: that the request was admitted at.
    """
    return _SAID.sub(partial(_billed, tier), answer) if b'"service_tier"' in answer else answer


def _billed(tier: str, said: re.Match[bytes]) -> bytes:
    return b'"service_tier"%b"%b"' % (said[1], billed_tier(tier, (said[2] or b"").decode()).encode())
