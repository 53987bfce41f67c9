"""Journal entries: postings that sum to zero per currency, chained by hash."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import msgspec

from entrepot.core.periods import Instant

GENESIS = "0" * 64


class Posting(msgspec.Struct, frozen=True, array_like=True):
    """One signed leg: debits positive, credits negative, in pico of the currency."""

    account: str
    currency: str
    amount_pico: int


class JournalEntry(msgspec.Struct, frozen=True, array_like=True):
    """A balanced entry. key is unique for ever: writing an entry of a known key is a mistake the store refuses.

    at: the instant the entry is about (the hour accrued, the close), not when it was written.
    """

    key: str
    kind: str
    at: Instant
    postings: tuple[Posting, ...]


def entry(key: str, kind: str, at: Instant, postings: Iterable[Posting]) -> JournalEntry:
    """A balanced entry without its zero legs; asserts that it sums to zero per currency."""
    kept = tuple(posting for posting in postings if posting.amount_pico)
    totals: dict[str, int] = defaultdict(int)
    for posting in kept:
        totals[posting.currency] += posting.amount_pico
    assert not any(totals.values()), f"entry {key} does not balance: {dict(totals)}"
    return JournalEntry(key=key, kind=kind, at=at, postings=kept)


_encoder = msgspec.msgpack.Encoder()


def chain(previous: str, item: JournalEntry) -> str:
    """The hash of an entry and of all before it, in hex. Amounts are written as decimal text: pico outgrow 64 bits."""
    body = [item.key, item.kind, item.at, [[leg.account, leg.currency, str(leg.amount_pico)] for leg in item.postings]]
    return hashlib.sha256(bytes.fromhex(previous) + _encoder.encode(body)).hexdigest()
