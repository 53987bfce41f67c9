"""What gateways and the keeper of their counters say to each other, in words of bytes: one asks, the other answers.

A message on a socket is u32 length, little-endian, and the words as one msgpack list.

    join  holder generation epoch  {limit used at held}…     ok epoch wait_us
    draw  holder generation epoch  {limit need wish}…        ok {ahead used at scarce}…
                                                             short number used at idle | closed wait_us
    give  holder generation epoch  {limit free over taken_at}…  ok {used at}…
    look  holder generation epoch  {limit has_none}…         ok {scarce}…
    weigh holder generation epoch  {limit more place living}…  ok {used at}…

A limit is five words: id, refill, units, window, drain. Numbers are decimal, of any size. To all but join the answer
may be `lost`: the keeper is of another epoch, so join first; and to all `stale`: a later connection of this holder has
spoken since. Both sides are one program of one version.
"""

import struct
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from entrepot.core.capacity import Limit, Refill
from entrepot.core.draws import Draw
from entrepot.core.errors import BadInput
from entrepot.core.periods import Instant
from entrepot.core.shared_counters import Claim, Closed, Given, Own, SharedCounters, Short, State, Taken, Weighed

Words = list[bytes]

MESSAGE_BYTES_MAX = 16 * 2**20

_LENGTH = struct.Struct("<I")
_LIMIT = 5
_HEAD = 4
_WIDTHS = {b"join": 8, b"draw": 7, b"give": 8, b"look": 6, b"weigh": 8}  # Words for each limit.
_NEW = b"-"  # The epoch of who knows none.

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Words).decode


def packed(words: Words) -> bytes:
    """The words as a message on a socket."""
    body = _encode(words)
    return _LENGTH.pack(len(body)) + body


class WordsReader:
    """Cuts a byte stream into messages."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, received: bytes) -> list[Words]:
        """The messages that are complete now. Raises: BadInput for a stream that is none of ours."""
        received = self._rest + received
        messages, at = [], 0
        while at + _LENGTH.size <= len(received):
            [length] = _LENGTH.unpack_from(received, at)
            start = at + _LENGTH.size
            if length > MESSAGE_BYTES_MAX:
                raise BadInput(f"a message of {length} bytes on the counters' socket; use one version everywhere")
            if start + length > len(received):
                break
            try:
                messages.append(_decode(received[start : start + length]))
            except msgspec.DecodeError as error:
                raise BadInput(f"no words on the counters' socket: {error}; use one version everywhere") from None
            at = start + length
        self._rest = received[at:]
        return messages


def join(holder: str, generation: int, epoch: str, claims: Sequence[Claim]) -> Words:
    """Asks to take in what a gateway knows."""
    words = _begun(b"join", holder, generation, epoch)
    for limit, (used, at), held in claims:
        words += (*_said(limit), b"%d" % used, b"%d" % at, b"%d" % held)
    return words


def draw(holder: str, generation: int, epoch: str, draws: Sequence[Draw]) -> Words:
    """Asks for units."""
    words = _begun(b"draw", holder, generation, epoch)
    for limit, need, wish in draws:
        words += (*_said(limit), b"%d" % need, b"%d" % wish)
    return words


def give(holder: str, generation: int, epoch: str, given: Sequence[Given]) -> Words:
    """Says what became of units."""
    words = _begun(b"give", holder, generation, epoch)
    for limit, free, over, taken_at in given:
        words += (*_said(limit), b"%d" % free, b"%d" % over, b"%d" % taken_at)
    return words


def look(holder: str, generation: int, epoch: str, asked: Sequence[tuple[Limit, bool]]) -> Words:
    """Asks what is scarce."""
    words = _begun(b"look", holder, generation, epoch)
    for limit, has_none in asked:
        words += (*_said(limit), b"%d" % has_none)
    return words


def weigh(holder: str, generation: int, epoch: str, weighed: Sequence[Weighed]) -> Words:
    """Says what the books know of budgets. living: `name:counted:held` with commas around each."""
    words = _begun(b"weigh", holder, generation, epoch)
    for limit, more, place, living in weighed:
        named = ",".join(f"{name}:{counted}:{held}" for name, (counted, held) in sorted(living.items()))
        words += (*_said(limit), b"%d" % more, b"%d" % place, f",{named},".encode())
    return words


def limits_of(words: Words) -> list[tuple[bytes, bytes]]:
    """The limits that a gateway's words are about: (id, refill)."""
    return [(words[start], words[start + 1]) for start in _starts(words)]


def read_joined(words: Words) -> tuple[str, int] | None:
    """(epoch, microseconds until something is granted), or None where the keeper does not go along."""
    return (words[1].decode(), int(words[2])) if words[0] == b"ok" else None


def read_drawn(words: Words) -> list[Taken] | Short | None:
    """What was taken, or why not; None where the keeper does not go along, or not yet."""
    if words[0] == b"ok":
        rows = (words[at : at + 4] for at in range(1, len(words), 4))
        return [Taken(int(ahead), (int(used), int(at)), scarce == b"1") for ahead, used, at, scarce in rows]
    if words[0] == b"short":
        return Short(int(words[1]), (int(words[2]), int(words[3])), int(words[4]))
    return None


def read_given(words: Words) -> list[State]:
    """The counters' states."""
    return [(int(words[at]), int(words[at + 1])) for at in range(1, len(words), 2)]


def read_looked(words: Words) -> list[bool] | None:
    """Which limits are scarce."""
    return [word == b"1" for word in words[1:]] if words[0] == b"ok" else None


def answer(counters: SharedCounters, words: Words, at: Instant) -> Words:
    """What the keeper says to a gateway's words. Raises: BadInput for words that are none of ours."""
    try:
        verb, holder, generation, epoch = words[0], words[1].decode(), int(words[2]), words[3].decode()
        if counters.is_stale(holder, generation):
            return [b"stale"]
        if verb != b"join" and epoch != counters.epoch:
            return [b"lost"]
        return _VERBS[verb](counters, holder, words, at)
    except (IndexError, KeyError, ValueError) as error:
        raise BadInput(f"counters were asked in another language ({error!r}); use one version everywhere") from None


def _join(counters: SharedCounters, holder: str, words: Words, at: Instant) -> Words:
    epoch = "" if words[3] == _NEW else words[3].decode()
    claims = [
        Claim(_heard(words, start), (int(words[start + 5]), int(words[start + 6])), int(words[start + 7]))
        for start in _starts(words)
    ]
    wait_us = counters.join(holder, int(words[2]), epoch, claims, at)
    return [b"ok", counters.epoch.encode(), b"%d" % wait_us]


def _draw(counters: SharedCounters, holder: str, words: Words, at: Instant) -> Words:
    draws = [Draw(_heard(words, start), int(words[start + 5]), int(words[start + 6])) for start in _starts(words)]
    outcome = counters.draw(holder, draws, at)
    if isinstance(outcome, Closed):
        return [b"closed", b"%d" % outcome.wait_us]
    if isinstance(outcome, Short):
        number, (used, told), idle = outcome
        return [b"short", b"%d" % number, b"%d" % used, b"%d" % told, b"%d" % idle]
    answered = [b"ok"]
    for ahead, (used, told), scarce in outcome:
        answered += (b"%d" % ahead, b"%d" % used, b"%d" % told, b"%d" % scarce)
    return answered


def _give(counters: SharedCounters, holder: str, words: Words, at: Instant) -> Words:
    given = [
        Given(_heard(words, start), int(words[start + 5]), int(words[start + 6]), int(words[start + 7]))
        for start in _starts(words)
    ]
    states = counters.give(holder, given, at)
    return [b"ok", *(b"%d" % number for state in states for number in state)]


def _look(counters: SharedCounters, holder: str, words: Words, at: Instant) -> Words:
    asked = [(_heard(words, start), words[start + _LIMIT] == b"1") for start in _starts(words)]
    return [b"ok", *(b"%d" % scarce for scarce in counters.look(holder, asked, at))]


def _weigh(counters: SharedCounters, holder: str, words: Words, at: Instant) -> Words:
    weighed = []
    for start in _starts(words):
        more, place = int(words[start + _LIMIT]), int(words[start + _LIMIT + 1])
        rows = (named.split(":") for named in words[start + _LIMIT + 2].decode().split(",") if named)
        living = {name: Own(int(counted), int(held)) for name, counted, held in rows}
        weighed.append(Weighed(_heard(words, start), more, place, living))
    states = counters.weigh(holder, weighed, at)
    return [b"ok", *(b"%d" % number for state in states for number in state)]


_VERBS: dict[bytes, Callable[[SharedCounters, str, Words, Instant], Words]] = {
    b"join": _join,
    b"draw": _draw,
    b"give": _give,
    b"look": _look,
    b"weigh": _weigh,
}


def _begun(verb: bytes, holder: str, generation: int, epoch: str) -> Words:
    return [verb, holder.encode(), b"%d" % generation, epoch.encode() or _NEW]


def _said(limit: Limit) -> tuple[bytes, ...]:
    numbers = (b"%d" % limit.units, b"%d" % limit.window, b"%d" % limit.drain)
    return (limit.id.encode(), limit.refill.encode(), *numbers)


def _heard(words: Words, start: int) -> Limit:
    name, refill = words[start].decode(), cast(Refill, words[start + 1].decode())
    return Limit(name, "requests", refill, int(words[start + 2]), int(words[start + 3]), int(words[start + 4]))


def _starts(words: Words) -> range:
    return range(_HEAD, len(words), _WIDTHS[words[0]])
