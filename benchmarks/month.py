"""A large month for benchmarks: who uses how much in which hour, as readings and as the log's records.

Contracts have shares of the month as clients have in published traces: a power law, a few with most of it, most with
some hours of the month. The tokens are those of 100 million requests, whatever the number of records they come in: so
the same readings, and the same bills, stand behind a million records and behind a hundred million.
"""

import random
import struct
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

from entrepot.core.charges import Series
from entrepot.core.log_records import UsageRecorded, encode_record
from entrepot.core.periods import HOUR, SECOND, Instant, parse_instant
from entrepot.core.prices import Price, Step
from entrepot.core.segments import frame
from entrepot.core.shortcuts import event_id
from entrepot.core.terms import Minimum, Tax
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from tests.support.billing import contract, prices, version, world

MARCH = parse_instant("2024-03-01")
APRIL = parse_instant("2024-04-01")
HOURS = (APRIL - MARCH) // HOUR
REQUESTS = 100_000_000
STEEPNESS = 1.5  # Share of the n-th contract is n to the minus this: the first hundredth has nine tenths.
TOKENS = {"cached_input_tokens": 310, "input_tokens": 905, "output_tokens": 212}  # Of a request, on average.
TERMS_EVERY, STEPPED_EVERY = 10, 20
_LASTS = 2 * SECOND

# Where the fields that differ stand in a record's encoding: id, admitted_at, finished_at follow one another.
_VARYING = struct.Struct(">32sBQBQ")
_UINT64 = 0xCF  # Of msgpack.
_PLACEHOLDER = "x" * 32


class Share(NamedTuple):
    """What a contract used in an hour: for how many requests, and how many tokens of each meter."""

    requests: int
    tokens: dict[str, int]


Hour = dict[int, Share]  # {the contract's number: its share}


def declared(contracts: int) -> World:
    """A world of so many customers, some with minimums and taxes, some with prices by quantity."""
    flat = prices(("m", "input_tokens", "0.15"), ("m", "cached_input_tokens", "0.075"), ("m", "output_tokens", "0.6"))
    steps = (Step(10**8, 150_000), Step(None, 120_000))
    stepped = (Price("m", "input_tokens", "default", 0, mode="graduated", steps=steps), *flat[1:])
    made = []
    for number in range(contracts):
        terms = (Minimum(10**12), Tax(2 * 10**11, "VAT")) if number % TERMS_EVERY == 0 else ()
        made.append(contract(name_of(number), terms=terms, price_book=book_of(number)))
    names = [name_of(number) for number in range(contracts)]
    return world(version(flat), version(stepped, book="stepped"), contracts=made, customers=names)


def name_of(number: int) -> str:
    return f"customer-{number:05d}"


def book_of(number: int) -> str:
    return "stepped" if number % STEPPED_EVERY == 0 else "list"


def hours(contracts: int) -> Iterator[Hour]:
    """The hours of March."""
    chance = random.Random(1)
    weights = [(number + 1) ** -STEEPNESS for number in range(contracts)]
    rates = [REQUESTS * weight / sum(weights) / HOURS for weight in weights]
    owed = [chance.random() for _ in range(contracts)]
    for _ in range(HOURS):
        hour: Hour = {}
        for whose in range(contracts):
            owed[whose] += rates[whose] * 2 * chance.random()
            used = int(owed[whose])
            owed[whose] -= used
            if used:
                tokens = {meter: used * each + chance.randrange(each) for meter, each in TOKENS.items()}
                hour[whose] = Share(used, tokens)
        yield hour


def readings_of(hour: Hour, at: Instant) -> dict[tuple[Series, str, Instant], int]:
    """What the fold counts of an hour."""
    return {
        (_series_of(whose), meter, at): units for whose, share in hour.items() for meter, units in share.tokens.items()
    }


def _series_of(number: int) -> Series:
    name = name_of(number)
    return Series(f"{name}@2024-01-01", f"{book_of(number)}@2024-01-01", name, "p", "chat", "m", "default")


class Records:
    """Frames of usage records, as a log has them."""

    def __init__(self, records: int) -> None:
        """records: in how many records the month comes; each share of an hour in one at least."""
        self._records = records
        self._chance = random.Random(2)
        self._numbers = count()

    def of(self, hour: Hour, begins: Instant) -> list[bytes]:
        """The frames of an hour's records, in the order of time."""
        made: list[tuple[Instant, bytes, bytes]] = []
        for whose, share in hour.items():
            records = max(1, share.requests * self._records // REQUESTS)
            gap = HOUR // records
            at = begins + self._chance.randrange(gap)
            each = {meter: units // records for meter, units in share.tokens.items()}
            rest = {meter: units - each[meter] * (records - 1) for meter, units in share.tokens.items()}
            head, tail = _around(whose, each)
            made += ((at + number * gap, head, tail) for number in range(records - 1))
            made.append((at + (records - 1) * gap, *_around(whose, rest)))
        made.sort()
        return [frame(head + self._varying(at) + tail) for at, head, tail in made]

    def _varying(self, at: Instant) -> bytes:
        identity = event_id(at, 1, next(self._numbers)).encode()
        return _VARYING.pack(identity, _UINT64, at, _UINT64, at + _LASTS)


def _around(whose: int, tokens: dict[str, int]) -> tuple[bytes, bytes]:
    """(what stands before the fields that differ, what stands behind them) in a record's encoding."""
    event = UsageEvent(_PLACEHOLDER, MARCH, MARCH, name_of(whose), "p", "chat", "m", "default", tokens)
    whole = encode_record(UsageRecorded(event=event))
    at = whole.index(_PLACEHOLDER.encode())
    return whole[:at], whole[at + _VARYING.size :]
