"""The spans of a request in OTLP's JSON form: the request, its attempts at upstreams, and what it waited for.

Sources: opentelemetry-proto 1.7, trace.proto and "JSON Protobuf Encoding" (ids in hex, enumerations as numbers, 64-bit
integers as text); semantic conventions 1.37, "HTTP spans" and "Generative AI client spans".
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from entrepot.core.periods import Instant
from entrepot.edge.gateway_metrics import OPERATIONS, tokens_of
from entrepot.edge.inference_call import InferenceCall, outcome_of
from entrepot.flows.serve_inference.stages import AttemptStages

Resource = Mapping[str, str]

_KINDS = {"internal": 1, "server": 2, "client": 3}
_FAILED = {"code": 2}
_NS_PER_US = 1000
_encode = msgspec.json.Encoder().encode


class _Span(msgspec.Struct, rename="camel", omit_defaults=True):
    trace_id: str
    span_id: str
    name: str
    kind: int
    start_time_unix_nano: str
    end_time_unix_nano: str
    attributes: list[dict[str, object]]
    parent_span_id: str = ""
    status: dict[str, int] = {}


def enveloped(resource: Resource, spans: list[bytes]) -> bytes:
    """An export request with these spans of one process."""
    about = _encode({"attributes": _attributes(resource)})
    scope = _encode({"name": "entrepot.gateway"})
    head = b'{"resourceSpans":[{"resource":' + about + b',"scopeSpans":[{"scope":' + scope + b',"spans":['
    return head + b",".join(spans) + b"]}]}]}"


def spans_of(call: InferenceCall, span_id: Callable[[str, int], str], provider: str) -> Iterator[bytes]:
    """The spans of a recorded request that has ended. span_id: see edge.tracing."""
    own = span_id(call.id, 0)

    def span(
        number: int,
        kind: Literal["internal", "server", "client"],
        name: str,
        since: Instant,
        until: Instant,
        attributes: Mapping[str, object],
        *,
        failed: bool = False,
    ) -> bytes:
        return _encode(
            _Span(
                trace_id=call.trace_id,
                span_id=span_id(call.id, number),
                parent_span_id=own if number else _parent_of(call),
                name=name,
                kind=_KINDS[kind],
                start_time_unix_nano=str(since * _NS_PER_US),
                end_time_unix_nano=str(max(since, until) * _NS_PER_US),
                attributes=_attributes(attributes),
                status=_FAILED if failed else {},
            )
        )

    route = "none" if call.found is None else call.found.route.path
    error = call.error or call.left_as or (str(call.status) if call.status >= 400 else "")
    failed = call.status >= 500 or call.left_as == "gateway_lost" or (call.status == 200 and bool(call.error))
    yield span(0, "server", f"POST {route}", call.at, call.ended_at, _of_request(call, route, error), failed=failed)
    stages, usage = call.stages, call.usage
    if stages is None:
        return
    if stages.identified_at:
        yield span(-1, "internal", "identify caller", call.at, stages.identified_at, {})
    if stages.routed_at:
        yield span(-2, "internal", "find upstream", stages.identified_at, stages.routed_at, {})
    for number, attempt in enumerate(stages.attempts, 1):
        until = attempt.ended_at or call.ended_at
        named = "" if call.admitted is None else call.admitted.model
        attributes = _of_attempt(call, attempt, provider, is_last=number == len(stages.attempts))
        failed = bool(attempt.failure) or attempt.status >= 400
        name = f"{attributes['gen_ai.operation.name']} {named}"
        yield span(number, "client", name, attempt.began_at, until, attributes, failed=failed)
    if usage is not None:
        yield span(-3, "internal", "wait for usage log", usage.finished_at, call.ended_at, {})


def _parent_of(call: InferenceCall) -> str:
    parent = None if call.marks is None else call.marks.parent
    return "" if parent is None else parent.span_id


def _of_request(call: InferenceCall, route: str, error: str) -> dict[str, object]:
    told: dict[str, object] = {
        "http.request.method": "POST",
        "http.route": route,
        "http.response.status_code": call.status,
        "error.type": error,
        "entrepot.request_id": call.id,
        "entrepot.client_request_id": "" if call.marks is None else call.marks.id,
    }
    if call.admitted is not None:
        told |= {
            "entrepot.customer": call.admitted.customer,
            "entrepot.project": call.admitted.project,
            "entrepot.deployment": call.admitted.deployment,
            "entrepot.tier": call.admitted.tier,
            "entrepot.outcome": outcome_of(call),
        }
        if call.usage is not None and call.usage.tier != call.admitted.tier:
            told |= {"entrepot.tier": call.usage.tier, "entrepot.admitted_tier": call.admitted.tier}
    if call.first_at:
        told["entrepot.first_event_us"] = call.first_at - call.at
    return told


def _of_attempt(call: InferenceCall, attempt: AttemptStages, provider: str, *, is_last: bool) -> dict[str, object]:
    operation = "" if call.found is None else call.found.route.operation
    told: dict[str, object] = {
        "gen_ai.operation.name": OPERATIONS.get(operation, operation),
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": "" if call.admitted is None else call.admitted.model,
        "http.response.status_code": attempt.status,
        "error.type": attempt.failure or (str(attempt.status) if attempt.status >= 400 else ""),
        "entrepot.upstream": attempt.upstream,
        "entrepot.connected_us": attempt.sent_at - attempt.began_at if attempt.sent_at else 0,
    }
    if is_last and call.usage is not None:
        taken, given = tokens_of(call.usage.meters)
        told |= {
            "gen_ai.usage.input_tokens": taken,
            "gen_ai.usage.output_tokens": given,
            "gen_ai.response.finish_reasons": [call.usage.outcome],
        }
    return told


def _attributes(told: Mapping[str, object]) -> list[dict[str, object]]:
    """The attributes that have a value."""
    return [{"key": name, "value": _value(value)} for name, value in told.items() if value or name in _KEPT]


_KEPT = frozenset({"gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"})  # Nothing is worth saying there.


def _value(value: object) -> dict[str, object]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(item) for item in value]}}
    return {"stringValue": value}
