"""A deployment's `cache`: what may be declared of it, and the prices that it needs."""

from typing import get_args

from entrepot.core.prices import PriceBookVersion, PriceTable
from entrepot.core.tenancy import AnswerCaching, CachedRequests, CacheStore, Deployment
from entrepot.core.tokens import CACHED_TIER
from entrepot.provisioning.draft import Declared
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import read_duration_s

TTL_S_MAX = 30 * 24 * 3600
BYTES_MAX = 16 * 2**20

_STORES: tuple[CacheStore, ...] = get_args(CacheStore)
_REQUESTS: tuple[CachedRequests, ...] = get_args(CachedRequests)


def read_cache(deployment: Fields) -> AnswerCaching | None:
    """What the deployment says of a cache; None when it says nothing."""
    fields = deployment.section("cache", "cache", ("ttl", "store", "requests", "max_bytes"))
    if fields is None:
        return None
    cache = AnswerCaching(
        ttl_s=read_duration_s(fields, "ttl", TTL_S_MAX),
        store=fields.choice("store", _STORES, "memory"),
        requests=fields.choice("requests", _REQUESTS, "repeatable"),
        bytes_max=fields.integer("max_bytes", 2**20, 1),
    )
    if cache.bytes_max > BYTES_MAX:
        fields.fault(f"max_bytes must be at most {BYTES_MAX}", "max_bytes")
    return cache


def check_cached_prices(deployment: Declared[Deployment], model: str, version: PriceBookVersion) -> None:
    """Notes a fault unless everything of the model that has a price has one at the tier of cached answers, too.

    An answer is metered the second time as it was the first time, so whatever could be priced then must be priced now.
    """
    table = PriceTable(version)
    priced = {price.meter for price in version.prices if price.model == model and price.tier == "default"}
    for meter in sorted(priced):
        if table.price(model, meter, CACHED_TIER) is None:
            deployment.fields.fault(
                f"answers of model {model} are cached, and version {version.id} has no price for {meter} at tier "
                f'{CACHED_TIER}; declare it, at "0" if an answer from the cache is meant to be free',
                "cache",
            )
