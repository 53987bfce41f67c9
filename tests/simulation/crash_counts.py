"""What the upstreams of a crash run say they served, held against what the log and the books have of it.

Whatever happened, each request is booked once, by the rules of docs/operations/usage-rules.md, said here anew.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from entrepot.core.log_records import Admitted, Attempted, AttemptEnded, InstanceLost, LogRecord, UsageRecorded
from entrepot.core.usage_event import UsageEvent
from tests.simulation.crash_world import ASKED_AFTERWARDS, PLACES, UNBILLED

INSTANCE = slice(12, 20)  # Where a request id names its gateway.

Meters = dict[str, int]
Lines = Mapping[str, Any]  # {request id: what is known of it}


def meters_told(usage: Any) -> Meters:
    """The exclusive meters of a usage object of text, without the zeros; written apart from the product's own."""
    if not usage:
        return {}
    into = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    out_of = usage.get("completion_tokens", usage.get("output_tokens", 0))
    parts = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    cached = parts.get("cached_tokens", 0)
    return used({"input_tokens": into - cached, "cached_input_tokens": cached, "output_tokens": out_of})


def used(meters: Mapping[str, int]) -> Meters:
    """The meters without the zeros."""
    return {meter: quantity for meter, quantity in meters.items() if quantity}


class Logged:
    """What the log says of a run.

    events: {request id: its usage events, which must be one}; asked: {request id: {number of an attempt: upstream}};
    ended: the attempts that gave no answer; lost: gateways in the order in which they were gone.
    """

    def __init__(self, records: Iterable[LogRecord]) -> None:
        self.admitted: dict[str, Admitted] = {}
        self.events: dict[str, list[UsageEvent]] = defaultdict(list)
        self.asked: dict[str, dict[int, str]] = defaultdict(dict)
        self.ended: list[AttemptEnded] = []
        self.lost: list[str] = []
        for record in records:
            match record:
                case Admitted():
                    self.admitted[record.id] = record
                    self.asked[record.id][1] = record.upstream
                case Attempted():
                    self.asked[record.id][record.number] = record.upstream
                case AttemptEnded():
                    self.ended.append(record)
                case UsageRecorded() if record.event not in self.events[record.event.id]:
                    self.events[record.event.id].append(record.event)
                case InstanceLost():
                    self.lost.append(record.instance)

    def costs(self) -> dict[tuple[str, str], Counter[str]]:
        """{(request id, upstream): what we know that it used there}, of usage and of attempts beside it."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for events in self.events.values():
            for event in events:
                found[event.id, event.upstream].update(event.meters)
        told = {(ended.id, ended.number): ended for ended in self.ended if ended.meters}
        for ended in told.values():
            found[ended.id, ended.upstream].update(ended.meters)
        return found

    def untold(self) -> set[tuple[str, int]]:
        """(request id, number) of attempts whose upstreams are still to be asked."""
        told = {(ended.id, ended.number) for ended in self.ended if ended.raw or ended.outcome == "refused"}
        asked = {(ended.id, ended.number) for ended in self.ended if ended.upstream in ASKED_AFTERWARDS}
        return asked - told


class Counts:
    """A run's. served: of each place, the last line of each request; booked: as the books export it.

    told: {request id: the meters that its client was told, {} for none} of answers that came whole.
    answered_by: {request id: upstream}, as far as clients can know it.
    """

    def __init__(
        self,
        logged: Logged,
        served: Sequence[Lines],
        booked: Lines,
        told: Mapping[str, Meters],
        answered_by: Mapping[str, str],
    ) -> None:
        self._logged, self._served, self._booked, self._told = logged, served, booked, told
        self._answered_by = answered_by
        self._ended: dict[str, set[int]] = defaultdict(set)
        for ended in logged.ended:
            self._ended[ended.id].add(ended.number)
        self._kept = [
            self._meters_served(request_id, admitted.upstream)
            for request_id, admitted in logged.admitted.items()
            if admitted.deployment == "again" and admitted.upstream
        ]

    def faults(self) -> Iterator[str]:
        """Whatever is not where it belongs."""
        for place, lines in enumerate(self._served):
            for request_id, line in lines.items():
                asked = self._logged.asked.get(request_id, {}).values()
                if place not in {PLACES[upstream] for upstream in asked if upstream}:
                    yield f"{request_id}: upstream {place} served {line}, and the log knows nothing of that"
        for request_id in sorted(self._logged.admitted.keys() | self._booked.keys() | self._told.keys()):
            found = self._logged.events.get(request_id, [])
            if len(found) != 1:
                yield f"{request_id}: {len(found)} usage events: {found}"
            elif reason := self._wrong(found[0]):
                yield f"{request_id}: {reason}: {found[0]}, served {[lines.get(request_id) for lines in self._served]}"
        yield from self._faults_of_costs()

    def _faults_of_costs(self) -> Iterator[str]:
        """What an upstream that can be asked charges us for: whatever it served, charged to a customer or not."""
        known = self._logged.costs()
        for request_id, asked in self._logged.asked.items():
            for upstream in sorted(ASKED_AFTERWARDS & set(asked.values())):
                served = self._meters_served(request_id, upstream)
                owed = used(known.get((request_id, upstream), {}))
                if owed != served:
                    line = self._line(request_id, upstream)
                    ended = [ended for ended in self._logged.ended if ended.id == request_id]
                    yield f"{request_id}: {upstream} is owed for {owed}, it served {served}: {line}, {ended}"

    def _wrong(self, event: UsageEvent) -> str:
        """What is wrong with a request's usage, or ""."""
        booked, told = self._booked.get(event.id), self._told.get(event.id)
        meters = used(event.meters)
        if booked is None or booked["meters"] != event.meters:
            return f"the books have {booked}"
        if event.upstream != self._answered_by.get(event.id, event.upstream):
            return f"it was answered by {self._answered_by[event.id]}"
        if told and told != meters:
            return f"its client was told {told}"
        if told is not None and event.source == "estimated":
            return "an estimate of an answer that its client had to its end"
        if event.tier == "cached":
            is_right = meters in self._kept or (not meters and told is None)
        else:
            rules = {"reported": self._as_reported, "counted": self._as_counted, "estimated": self._as_estimated}
            is_right = rules[event.source](event, meters, told is not None)
        return "" if is_right else f"{event.source} wrongly"

    def _as_reported(self, event: UsageEvent, meters: Meters, is_told: bool) -> bool:
        """As the upstream says; nothing by the rule no_bill; nothing where no attempt came to anything."""
        if meters == self._meters_served(event.id, event.upstream):
            return True
        by_rule = event.upstream in UNBILLED and event.outcome in {"client_left", "gateway_lost"}
        in_vain = self._ended[event.id] == self._logged.asked[event.id].keys()
        return not meters and not is_told and (by_rule or in_vain)

    def _as_counted(self, event: UsageEvent, meters: Meters, is_told: bool) -> bool:
        """Of an upstream that reported nothing and cannot be asked: what is known of the request, and of a stream every
        token of it.
        """
        del is_told
        line = self._line(event.id, event.upstream)
        served = self._meters_served(event.id, event.upstream)
        if line is None or line["meters"]:
            return meters == served
        estimate = self._logged.admitted[event.id].prompt_tokens_estimate
        return (
            event.upstream not in ASKED_AFTERWARDS
            and meters.get("input_tokens") == estimate
            and (not line["stream"] or meters.get("output_tokens", 0) == served.get("output_tokens", 0))
        )

    def _as_estimated(self, event: UsageEvent, meters: Meters, is_told: bool) -> bool:
        """Of an upstream that cannot be asked: never more of an answer than it served."""
        admitted = self._logged.admitted[event.id]
        if is_told or event.upstream in ASKED_AFTERWARDS:
            return False
        if event.upstream in UNBILLED and event.outcome != "upstream_failed":
            return False
        served = self._meters_served(event.id, event.upstream)
        of_text = (
            meters.get("input_tokens", 0) == admitted.prompt_tokens_estimate
            and meters.keys() <= {"input_tokens", "output_tokens"}
            and meters.get("output_tokens", 0) <= served.get("output_tokens", 0)
        )
        return not meters or of_text or meters == dict(admitted.counts)

    def _line(self, request_id: str, upstream: str) -> Any:
        return self._served[PLACES[upstream]].get(request_id)

    def _meters_served(self, request_id: str, upstream: str) -> Meters:
        line = self._line(request_id, upstream)
        return used(line["meters"]) or meters_told(line["usage"]) if line else {}
