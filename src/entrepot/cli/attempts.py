"""The attempts behind usage, as `entrepot usage list --attempts` shows them."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from entrepot.cli.command import table
from entrepot.core.periods import format_instant

if TYPE_CHECKING:
    from entrepot.core.usage_event import UsageEvent
    from entrepot.ports.books import MadeAttempt


class Attempt(msgspec.Struct, frozen=True):
    """One upstream asked for one request. charged: whether the customer pays for it; meters: as the upstream reported.

    outcome: of the request, for the attempt that answered; else how the attempt ended, "" while that is unknown.
    """

    id: str
    number: int
    upstream: str
    began_at: str
    ended_at: str
    outcome: str
    status: int
    charged: bool
    meters: dict[str, int]


def attempts_of(event: "UsageEvent", made: "Iterable[MadeAttempt]") -> Iterator[Attempt]:
    """All attempts of the request, in order. made: those in the books, of any requests."""
    others = {item.number: item for item in made if item.id == event.id}
    open_ones = (number for number, item in others.items() if item.ended is None and item.upstream == event.upstream)
    answered = next(open_ones, 1 if 1 not in others else 0)
    for number in sorted({answered, *others} - {0}) if event.upstream else ():
        item = others.get(number)
        if item is not None and item.ended is not None:
            ended = item.ended
            yield Attempt(
                event.id, number, item.upstream, format_instant(item.began_at), format_instant(ended.at),
                ended.outcome, ended.status, False, ended.meters,
            )  # fmt: skip
        else:
            upstream, began = (event.upstream, event.admitted_at) if item is None else (item.upstream, item.began_at)
            charged = number == answered
            yield Attempt(
                event.id, number, upstream, format_instant(began), format_instant(event.finished_at) if charged else "",
                event.outcome if charged else "", 0, charged, event.meters if charged else {},
            )  # fmt: skip


def attempt_lines(attempts: "Iterable[Attempt]") -> Iterator[str]:
    """The attempts as a table."""
    rows = [("request", "attempt", "upstream", "began", "outcome", "charged", "reported")]
    for item in attempts:
        meters = ", ".join(f"{meter} {quantity:,}" for meter, quantity in item.meters.items())
        outcome = f"{item.outcome} {item.status}" if item.status else item.outcome
        rows.append(
            (item.id, str(item.number), item.upstream, item.began_at, outcome, "yes" if item.charged else "no", meters)
        )
    yield from table(rows) if len(rows) > 1 else ["no attempt is known that matches"]
