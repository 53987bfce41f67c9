"""A gateway's side of counters that are kept elsewhere: what it says, and what it remembers of what it was told.

Whoever carries the words (a socket, a Valkey connection) gives `send`, and tells when there is a connection and when it
ends. A connection begins with what the gateway knows (core.shared_counters says why); until that is answered, and while
there is none, the counters cannot be asked, and what is given is kept to be said then.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial

from entrepot.core import counter_language as language
from entrepot.core.budgets import Weight, Weights
from entrepot.core.capacity import Counter, Limit
from entrepot.core.counter_language import Words
from entrepot.core.draws import Draw, Grant, Return, Shortage
from entrepot.core.periods import DAY, MINUTE, SECOND, SET_BACK_US, Instant
from entrepot.core.shared_counters import Claim, Given, Own, Short, State, Taken, Weighed

Outcome = tuple[Grant, ...] | Shortage | None
Answered = Callable[[Words | None], None]
Send = Callable[[Words, Answered], None]

SPEAK_US = SECOND  # A gateway that remembers something speaks at least so often; others may be waiting to hear it.
_FORGET_US = 10 * MINUTE
_WEIGHED_AT_ONCE = 200


class _Known:
    """What is known of one limit. state: the counter's, as last told, at told_at by this gateway's clock.

    held: see Claim. unheard: what was given of it, and the keeper has not acknowledged. lent: whether some of it may
    lie idle here, as the keeper sees it. scarce_ticks: how many have passed since it was called scarce, and that one;
    0 while it is not.
    """

    __slots__ = ("held", "lent", "limit", "scarce_ticks", "state", "told_at", "unheard")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.state: State = (0, 0)
        self.told_at: Instant = 0
        self.held = 0
        self.unheard = 0
        self.lent = False
        self.scarce_ticks = 0

    def tell(self, state: State, at: Instant) -> None:
        """The counter is in this state."""
        if not self.state[1] - SET_BACK_US <= state[1] < self.state[1]:  # An answer that comes late says nothing new.
            self.state = state
        self.told_at = at


class Drawing:
    """Implements the port Counters, except for the transport. name: of this gateway.

    asked: draws sent to the keeper. failed: draws that were not answered, or could not be sent.
    """

    def __init__(self, name: str, send: Send) -> None:
        self._name = name
        self._send = send
        self._known: dict[str, _Known] = {}
        self._epoch = ""
        self._generation = 0
        self._joined = False
        self._spoke_at: Instant = 0
        self._looked_back_at: Instant = 0
        self._unsaid: dict[str, Given] = {}
        self._weighed: dict[str, Weighed] = {}
        self.scarce: set[str] = set()
        self.asked = 0
        self.failed = 0

    @property
    def is_ready(self) -> bool:
        """Whether the counters can be asked."""
        return self._joined

    def connected(self) -> None:
        """There is a connection, another one than before."""
        self._generation += 1
        self._join()

    def disconnected(self) -> None:
        """There is none any more; whatever was not answered never will be."""
        self._joined = False

    def draw(self, draws: Sequence[Draw], at: Instant, done: Callable[[Outcome], None]) -> None:
        """See the port."""
        if not self._joined:
            self.failed += 1
            done(None)
            return
        self.asked += 1
        self._spoke_at = at
        words = language.draw(self._name, self._generation, self._epoch, draws)
        self._send(words, lambda answer: done(self._drawn(draws, at, answer)))

    def give(self, returns: Sequence[Return], at: Instant) -> None:
        """See the port."""
        given, cleared = [], []
        for limit, free, _, taken_at in returns:
            known = self._of(limit)
            if free:
                known.held -= free
                known.unheard += free
                given.append(Given(limit, max(0, free), max(0, -free), taken_at))
            if free >= 0 and known.lent and known.scarce_ticks:  # Of what is scarce, all that is free is given.
                cleared.append((known, True))
        if given:
            self._say(given, at)
        if cleared and self._joined:
            self._look(cleared)

    def tick(self, at: Instant) -> None:
        """Says that this gateway is there, and asks whether others are short of what may lie idle here."""
        if not self._joined:
            return
        asked = []
        for known in self._known.values():
            if known.lent or known.scarce_ticks:
                # Once a whole round of ticks has passed since it was called scarce, nothing of it is idle here.
                asked.append((known, known.scarce_ticks > 1))
                known.scarce_ticks += known.scarce_ticks > 0
        if not asked and (not self._known or at - self._spoke_at < SPEAK_US):
            return
        self._spoke_at = at
        self._look(asked)
        self._forget(at)

    def weigh(self, weights: Weights, at: Instant) -> None:
        """Tells what the books say of budgets, before anything that is drawn of them from now on."""
        told = [_weighed(weight, weights) for weight in weights.rows]
        for weighed in told:
            if weighed.limit.id not in self._known:  # What they say that this gateway has, the keeper begins with, too.
                self._of(weighed.limit).held = weighed.living.get(self._name, Own(0, 0)).had
            self._weighed[weighed.limit.id] = weighed
        if self._joined:
            self._say_weighed(told, at)

    def forget(self, counters: Collection[str]) -> None:
        """Forgets budgets that nothing is held of."""
        for name in counters:
            self._weighed.pop(name, None)
            known = self._known.pop(name, None)
            if known is not None and known.scarce_ticks:
                self.scarce.discard(name)

    # ---- what is heard

    def _drawn(self, draws: Sequence[Draw], at: Instant, answer: Words | None) -> Outcome:
        outcome = None if answer is None else language.read_drawn(answer)
        if outcome is None:
            self.failed += 1
            self._refused(answer)
            return None
        if isinstance(outcome, Short):
            known = self._of(draws[outcome.draw].limit)
            known.tell(outcome.state, at)
            self._call_scarce(known, True)
            return _shortage(outcome, draws[outcome.draw])
        return tuple(self._granted(draw, taken, at) for draw, taken in zip(draws, outcome, strict=True))

    def _granted(self, draw: Draw, taken: Taken, at: Instant) -> Grant:
        known = self._of(draw.limit)
        units = draw.need + taken.ahead
        known.held += units
        known.lent = known.lent or not taken.scarce
        known.tell(taken.state, at)
        self._call_scarce(known, taken.scarce)
        used = Counter.of(taken.state).used(draw.limit, taken.state[1])
        return Grant(units, draw.limit.units - used, taken.state[1])

    def _given(self, given: Sequence[Given], at: Instant, answer: Words | None) -> None:
        if answer is not None and answer[0] != b"ok":  # It was not done.
            self._refused(answer)
            self._keep_unsaid(given)
            return
        # Whether what has no answer was done, nobody knows; joining settles that.
        states = [] if answer is None else language.read_given(answer)
        for limit, free, over, _ in given:
            self._of(limit).unheard -= free - over
        for row, state in zip(given, states, strict=False):
            self._of(row.limit).tell(state, at)

    def _heard_weighed(self, weighed: Sequence[Weighed], at: Instant, answer: Words | None) -> None:
        if answer is None or answer[0] != b"ok":
            self._refused(answer)  # Joining says it once more.
            return
        for row, state in zip(weighed, language.read_given(answer), strict=True):
            self._of(row.limit).tell(state, at)

    def _looked(self, asked: Sequence[tuple[_Known, bool]], answer: Words | None) -> None:
        scarce = None if answer is None else language.read_looked(answer)
        if scarce is None:
            self._refused(answer)
            return
        for (known, has_none), is_scarce in zip(asked, scarce, strict=True):
            known.lent = known.lent and not has_none
            self._call_scarce(known, is_scarce)

    def _refused(self, answer: Words | None) -> None:
        """Nothing was done. Where the keeper has begun anew, it is told what is known here."""
        if answer == [b"lost"] and self._joined:
            self._join()

    # ---- what is said

    def _join(self) -> None:
        self._joined = False
        generation = self._generation
        claims = [Claim(item.limit, item.state, max(0, item.held + item.unheard)) for item in self._known.values()]
        words = language.join(self._name, generation, self._epoch, claims)
        self._send(words, lambda answer: self._welcomed(generation, answer))

    def _welcomed(self, generation: int, answer: Words | None) -> None:
        joined = None if answer is None else language.read_joined(answer)
        if joined is None or generation != self._generation:
            return
        self._epoch = joined[0]
        self._joined = True
        self._say_weighed(list(self._weighed.values()), self._spoke_at)
        if self._unsaid:
            unsaid, self._unsaid = list(self._unsaid.values()), {}
            self._say(unsaid, self._spoke_at)

    def _say(self, given: Sequence[Given], at: Instant) -> None:
        if not self._joined:
            self._keep_unsaid(given)
            return
        self._spoke_at = max(self._spoke_at, at)
        words = language.give(self._name, self._generation, self._epoch, given)
        self._send(words, lambda answer: self._given(given, at, answer))

    def _say_weighed(self, weighed: Sequence[Weighed], at: Instant) -> None:
        for start in range(0, len(weighed), _WEIGHED_AT_ONCE):
            part = weighed[start : start + _WEIGHED_AT_ONCE]
            words = language.weigh(self._name, self._generation, self._epoch, part)
            self._send(words, partial(self._heard_weighed, part, at))

    def _look(self, asked: Sequence[tuple[_Known, bool]]) -> None:
        """Asks which are scarce; said with each is whether nothing of it is idle here, for certain."""
        said = [(known.limit, has_none) for known, has_none in asked]
        words = language.look(self._name, self._generation, self._epoch, said)
        self._send(words, lambda answer: self._looked(asked, answer))

    def _keep_unsaid(self, given: Sequence[Given]) -> None:
        """Keeps what is given to be said once the counters can be asked; of a window that is over, nothing."""
        for row in given:
            limit, kept = row.limit, self._unsaid.get(row.limit.id)
            if kept is None or (limit.window and kept.taken_at // limit.window != row.taken_at // limit.window):
                self._unsaid[limit.id] = row
            else:
                taken_at = min(kept.taken_at, row.taken_at)
                self._unsaid[limit.id] = Given(limit, kept.free + row.free, kept.over + row.over, taken_at)

    # ---- what is remembered

    def _of(self, limit: Limit) -> _Known:
        known = self._known.get(limit.id)
        if known is None:
            known = self._known[limit.id] = _Known(limit)
        known.limit = limit
        return known

    def _call_scarce(self, known: _Known, is_scarce: bool) -> None:
        if is_scarce != bool(known.scarce_ticks):
            known.scarce_ticks = int(is_scarce)
            self.scarce ^= {known.limit.id}

    def _forget(self, at: Instant) -> None:
        """Drops, now and then, the limits that no keeper needs to be told of any more.

        Budgets are dropped by `forget` alone. Those that are kept here are named to the keeper, so that it keeps them.
        """
        if at - self._looked_back_at < _FORGET_US:
            return
        self._looked_back_at = at
        unnamed = []
        for name, known in list(self._known.items()):
            if known.limit.refill == "budget":
                if at - known.told_at > DAY and name in self._weighed:
                    unnamed.append(self._weighed[name])
                continue
            is_old = at - known.told_at > max(_FORGET_US, known.limit.window)
            if is_old and not known.scarce_ticks:
                del self._known[name]
        self._say_weighed(unnamed, at)


def _weighed(weight: Weight, among: Weights) -> Weighed:
    """What the books say, for counters of all living gateways together."""
    lost = sum(units for instance, units in weight.held.items() if instance not in among.living)
    living = {name: Own(weight.counted.get(name, 0), weight.held.get(name, 0)) for name in among.living}
    return Weighed(weight.limit, weight.spent + lost, among.place, living)


def _shortage(short: Short, draw: Draw) -> Shortage:
    limit, (_, told) = draw.limit, short.state
    counter = Counter.of(short.state)
    return Shortage(short.draw, counter.used(limit, told), counter.wait(limit, draw.need, told), short.idle)
