"""What the usage log holds. Everything the product knows is a fold over these records, in log order.

The wire form is a tagged msgpack array, so a field may be added at the end with a default and never be removed.
"""

import msgspec

from entrepot.core.partner_usage import ReportedKind, ReportedRow
from entrepot.core.periods import Instant
from entrepot.core.usage_event import AttemptOutcome, Outcome, UsageEvent

NOTHING_TOLD = b"null"  # What AttemptEnded.raw is where the upstream was asked afterwards, and has nothing to tell.


class _Record(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """Base of the records: the tag is the class name."""


class Admitted(_Record, frozen=True, gc=False):
    """A request is about to go upstream. Without a later UsageRecorded of the same id it is unresolved.

    counts: (meter, units) that are known from the request alone; of requests that are not counted in tokens.
    holds: (counter of a budget, units) that the gateway holds for it; see core.budgets.
    """

    id: str
    at: Instant
    instance: str
    customer: str
    project: str
    deployment: str
    model: str
    tier: str
    upstream: str
    key: str
    prompt_tokens_estimate: int
    counts: tuple[tuple[str, int], ...] = ()
    holds: tuple[tuple[str, int], ...] = ()


class Progressed(_Record, frozen=True, gc=False):
    """How many output tokens of a stream have been relayed so far; about once a second a gateway says it of all of its.

    others: (id, output tokens) of its other streams.
    """

    id: str
    at: Instant
    output_tokens: int
    others: tuple[tuple[str, int], ...] = ()


class Abandoned(_Record, frozen=True, gc=False):
    """The gateway gave the request up before the upstream reported usage. answered: whether any byte came back.

    tier: it is billed at, "" for that of its admission.
    """

    id: str
    at: Instant
    outcome: Outcome
    answered: bool
    output_tokens: int
    tier: str = ""


class InstanceLost(_Record, frozen=True, gc=False):
    """A gateway instance is gone: its requests that are still open will never be settled by it."""

    instance: str
    at: Instant


class UsageRecorded(_Record, frozen=True, gc=False):
    """The outcome of a request, or one imported record. Its tier is the one it is billed at, which may be a cheaper one
    than it was admitted at.

    instance, counted: the gateway that held budgets for it, and what its counters keep of each, as Admitted.holds.
    """

    event: UsageEvent
    instance: str = ""
    counted: tuple[tuple[str, int], ...] = ()


class WorldApplied(_Record, frozen=True, gc=False):
    """A version of the world as canonical JSON (core.world.World)."""

    at: Instant
    world: bytes


class KeyIssued(_Record, frozen=True, gc=False):
    """An API key was made; only its digest is here. budget: what may be spent with it, as JSON, or b"".

    replaces: the key in whose place it is, or "".
    """

    at: Instant
    key_id: str
    digest: str
    project: str
    name: str
    budget: bytes = b""
    replaces: str = ""


class KeyRevoked(_Record, frozen=True, gc=False):
    """An API key stops being good."""

    at: Instant
    key_id: str


class Marked(_Record, frozen=True, gc=False):
    """Every gateway's usage that was admitted before `at` is in the log above, save the requests still open."""

    at: Instant


class MonthClosed(_Record, frozen=True, gc=False):
    """The operator closes a period ("2024-03"): accrue, invoice, freeze."""

    at: Instant
    period: str


class Attempted(_Record, frozen=True, gc=False):
    """A request is about to go to a further upstream; the first is in its admission. number: from 2."""

    id: str
    number: int
    at: Instant
    upstream: str


class AttemptEnded(_Record, frozen=True, gc=False):
    """An attempt that the client has no answer from is over; what it used is our cost and never the customer's.

    number: from 1. status: of the upstream's answer, 0 without one. output_tokens: as counted here. meters, raw: what
    the upstream reported, empty where it did not, or has nothing to tell (NOTHING_TOLD).
    """

    id: str
    number: int
    began_at: Instant
    at: Instant
    upstream: str
    outcome: AttemptOutcome
    status: int = 0
    output_tokens: int = 0
    meters: dict[str, int] = {}
    raw: bytes = b""


class MonthSettled(_Record, frozen=True, gc=False):
    """The operator settles a closed period with its partners: state, freeze, post."""

    at: Instant
    period: str


class InvoiceCredited(_Record, frozen=True, gc=False):
    """The operator gives back lines of an issued invoice. lines: (number, amount as decimal text, "" for all of it)."""

    at: Instant
    invoice: str
    lines: tuple[tuple[int, str], ...]
    reason: str


class PartnerReported(_Record, frozen=True, gc=False):
    """A part of a partner's own usage or cost file. digest: SHA-256 of the whole file in hex; part: from 0.

    days: (start, kind) of the days it tells of, also of those on which there was nothing.
    """

    at: Instant
    partner: str
    file: str
    digest: str
    part: int
    days: tuple[tuple[Instant, ReportedKind], ...]
    rows: tuple[ReportedRow, ...]


class InstanceBegan(_Record, frozen=True, gc=False):
    """A gateway instance has begun, and its counters of budgets know nothing of what is above."""

    instance: str
    at: Instant


class Reconciled(_Record, frozen=True, gc=False):
    """Log, store, readings, ledger and invoices were held against each other for the hours of [since, until).

    faults: what did not agree, the first differing place first; none when all did.
    """

    at: Instant
    since: Instant
    until: Instant
    faults: tuple[str, ...]


class ServedAt(_Record, frozen=True, gc=False):
    """An upstream says that it served a request at another tier than it was asked for, and is owed for that one.

    admitted_at: when the request was. The customer is billed at the tier of its UsageRecorded.
    """

    id: str
    admitted_at: Instant
    tier: str


class UsageUntold(_Record, frozen=True, gc=False):
    """A request was answered, and its upstream, which keeps an account, told no usage of it, or none that sums up.

    The upstream is to be asked. event: the usage to record where it has none to tell. also: (meter, units) of what was
    used beside its usage object. instance, counted: as of UsageRecorded.
    """

    event: UsageEvent
    also: tuple[tuple[str, int], ...] = ()
    instance: str = ""
    counted: tuple[tuple[str, int], ...] = ()

    @property
    def id(self) -> str:
        """The request's."""
        return self.event.id


LogRecord = (
    Admitted
    | Progressed
    | Abandoned
    | InstanceLost
    | UsageRecorded
    | WorldApplied
    | KeyIssued
    | KeyRevoked
    | Marked
    | MonthClosed
    | Attempted
    | AttemptEnded
    | MonthSettled
    | InvoiceCredited
    | PartnerReported
    | InstanceBegan
    | Reconciled
    | ServedAt
    | UsageUntold
)

_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder: msgspec.msgpack.Decoder[LogRecord] = msgspec.msgpack.Decoder(LogRecord)

encode_record = _encoder.encode
decode_record = _decoder.decode
