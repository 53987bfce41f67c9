"""Quota of standard deployments: how many requests go with tokens per minute, and the pools these are drawn from."""

import msgspec

from entrepot.core.periods import MINUTE, SECOND, Instant
from entrepot.core.provisioned import Geography

TOKENIZERS = ("o200k_base", "cl100k_base", "o200k_harmony")


class RequestRatio(msgspec.Struct, frozen=True):
    """So many requests to so many tokens. window_s: they are counted in windows of at least this length."""

    requests: int
    per_tokens: int
    window_s: int = 10

    def __str__(self) -> str:
        return f"{self.requests} requests to {self.per_tokens} tokens, in windows of {self.window_s} s"

    def limit(self, tokens_per_minute: int) -> tuple[int, Instant]:
        """(requests, microseconds of the window), which is longer where a part of a minute has no whole number."""
        minute = max(1, tokens_per_minute * self.requests // self.per_tokens)
        for window_s in (self.window_s, 10):
            if window_s >= self.window_s and minute * window_s % 60 == 0:
                return minute * window_s // 60, window_s * SECOND
        return minute, MINUTE


# By the beginnings of model names; the first that fits holds. Source: Azure OpenAI, "Manage quota" and the quota tables
# of the models that have tiers, where it is one or ten to a thousand.
_RATIOS = (
    ("o1-mini", RequestRatio(1, 10_000)),
    ("o3-mini", RequestRatio(1, 10_000)),
    ("o3-pro", RequestRatio(1, 10_000)),
    ("o1", RequestRatio(1, 6_000)),
    ("o3", RequestRatio(1, 1_000)),
    ("o4-mini", RequestRatio(1, 1_000)),
    ("gpt-4.1", RequestRatio(1, 1_000)),
    ("gpt-5", RequestRatio(1, 1_000)),
)
DEFAULT_RATIO = RequestRatio(6, 1_000)


def ratio_of(model: str) -> RequestRatio:
    """What holds for a model that declares nothing of its own."""
    for name, ratio in _RATIOS:
        if model.startswith(name) and model[len(name) : len(name) + 1] in {"", "-", "."}:
            return ratio
    return DEFAULT_RATIO


class Quota(msgspec.Struct, frozen=True):
    """Tokens per minute that a customer's standard deployments of a model may have together.

    region: "" for those of none.
    """

    customer: str
    model: str
    tokens_per_minute: int
    region: str = ""
    geography: Geography = "global"

    @property
    def id(self) -> str:
        """What names it among all quotas."""
        return "/".join(part for part in (self.customer, self.model, self.region, self.geography) if part)
