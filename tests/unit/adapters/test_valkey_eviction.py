"""What a server says of its memory, and whether it may drop counters."""

import pytest

from entrepot.adapters.valkey.eviction import evicts_by


@pytest.mark.parametrize(
    ("maxmemory", "policy", "evicts"),
    [
        ("0", "noeviction", ""),
        ("0", "allkeys-lru", ""),  # Without a bound it never has to.
        ("1000000", "noeviction", ""),
        ("1000000", "allkeys-lru", "allkeys-lru"),
        ("1000000", "volatile-ttl", "volatile-ttl"),  # All our keys expire.
    ],
)
def test_a_server_may_evict(maxmemory: str, policy: str, evicts: str) -> None:
    told = f"# Memory\r\nused_memory:12\r\nmaxmemory:{maxmemory}\r\nmaxmemory_human:x\r\nmaxmemory_policy:{policy}\r\n"
    assert evicts_by(told.encode()) == evicts


def test_a_server_that_does_not_say_is_taken_as_it_is() -> None:
    assert evicts_by(b"") == evicts_by(b"# Memory\r\nmaxmemory:1\r\n") == ""
