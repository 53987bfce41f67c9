"""The gateway's front: finds the route, makes the request's id, calls one flow, shapes the answer."""

import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus

import msgspec

from entrepot.core.errors import DeploymentNotFound, EntrepotError, RequestTooLarge
from entrepot.core.identifiers import INTERNAL_PREFIX, event_id
from entrepot.core.periods import SECOND, Instant, parse_instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.dialects import azure, openai
from entrepot.edge.client_connection import ClientConnection, ClientLimits
from entrepot.edge.error_bodies import protocol_error
from entrepot.edge.gateway_metrics import Family, Tally, alone, write_metrics
from entrepot.edge.http_answers import JSON, TEXT
from entrepot.edge.http_requests import Refusal, Request
from entrepot.edge.inference_call import InferenceCall
from entrepot.edge.routes import Found, Route, check_version, find_route, job_target, speaks_azure
from entrepot.flows.forward_jobs import ForwardJobs, JobAsk
from entrepot.flows.serve_inference import Ask, ServeInference
from entrepot.ports.clock import Clock

_log = logging.getLogger("entrepot.gateway")
_INTERNAL = INTERNAL_PREFIX.encode()


class InferenceApi:
    """What all connections of a gateway process speak to. draining: none is kept open for another request."""

    def __init__(
        self, flow: ServeInference, jobs: ForwardJobs, clock: Clock, instance: int, limits: ClientLimits
    ) -> None:
        """instance: the number that keeps this process's ids apart from those of others, in 32 bits."""
        self._flow = flow
        self._jobs = jobs
        self._now: Callable[[], Instant] = clock.now
        self._instance = instance
        self._sequence = 0
        self._tally = Tally()
        self._answers: dict[str, Callable[[Found, Request, InferenceCall], None]] = {
            "models": self._models,
            "model": self._model,
            "healthz": self._healthz,
            "readyz": self._readyz,
            "metrics": self._metrics,
        }
        self.limits = limits
        self.draining = False
        self.connections: set[ClientConnection] = set()

    # ---- what connections call

    def handle(self, request: Request, connection: ClientConnection) -> None:
        """Answers the request, now or later."""
        call = self._begin(request, connection)
        try:
            self._route(request, call, connection)
        except EntrepotError as error:
            call.refuse(error)
        except Exception:  # noqa: BLE001 - the boundary of the process: logged, answered, and counted
            _log.exception("request_failed request_id=%s", call.id)
            call.refuse(EntrepotError(f"Something went wrong here; ask the operator about the request {call.id}."))

    def admit(self, request: Request, connection: ClientConnection) -> bool:
        """Whether the body of a request is worth reading: it has a route, and its caller is known."""
        call = self._begin(request, connection)
        call.is_azure = speaks_azure(request.path)
        try:
            found = find_route(request.path)
            check_version(found.route, request.query)
            if found.route.kind in {"inference", "jobs"}:
                self._flow.directory.caller(request.credential, call.at, *_acting_for(request))
        except EntrepotError as error:
            call.refuse(error)
            return False
        return True

    def refuse(self, refusal: Refusal, connection: ClientConnection) -> None:
        """Answers bytes that are no request."""
        call = self._begin(None, connection)
        call.is_azure = speaks_azure(refusal.path)
        if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            call.refuse(RequestTooLarge(refusal.message))
        else:
            call.reply_error(protocol_error(refusal.status, refusal.message, is_azure=call.is_azure))

    def sweep(self, now: float) -> None:
        """Ends connections that are past their time. now: of the event loop's clock."""
        for connection in list(self.connections):
            connection.sweep(now)

    # ---- routes

    def _begin(self, request: Request | None, connection: ClientConnection) -> InferenceCall:
        at = self._now()
        self._sequence += 1
        return InferenceCall(
            event_id(at, self._instance, self._sequence), at, self._now, self._tally, connection, request
        )

    def _route(self, request: Request, call: InferenceCall, connection: ClientConnection) -> None:
        call.is_azure = speaks_azure(request.path)
        found = find_route(request.path)
        route = found.route
        call.counted_as = route.path
        if request.method not in route.methods:
            self._refuse_method(route, call)
            return
        check_version(route, request.query)
        if route.kind == "inference":
            self._infer(found, request, call, connection)
        elif route.kind == "jobs":
            self._job(found, request, call, connection)
        else:
            self._answers[route.kind](found, request, call)

    def _refuse_method(self, route: Route, call: InferenceCall) -> None:
        allowed = b", ".join(route.methods)
        error = protocol_error(405, f"{route.path} is asked with {allowed.decode()}.", is_azure=call.is_azure)
        call.reply_error(error, b"Allow: %b\r\n" % allowed)

    def _infer(self, found: Found, request: Request, call: InferenceCall, connection: ClientConnection) -> None:
        deployment = ""
        if found.segment:
            deployment = azure.decode_segment(found.segment)
            call.served_by = found.segment
        ask = Ask(call.id, call.at, found.route.operation, deployment, request.credential, request.body)
        if request.credential.startswith(_INTERNAL):
            project, tier = _acting_for(request)
            ask = ask._replace(project=project, tier=tier)
        exchange = self._flow.serve(ask, call)
        if not call.finished:
            connection.wait_for(exchange)

    def _job(self, found: Found, request: Request, call: InferenceCall, connection: ClientConnection) -> None:
        caller = self._flow.directory.caller(request.credential, call.at)
        ask = JobAsk(
            request.method,
            job_target(found, request.query),
            request.field(b"content-type"),
            request.body,
            deployment=found.segment if "{" in found.route.prefix else b"",
            is_azure=call.is_azure,
        )
        errand = self._jobs.forward(ask, caller, call)
        if not call.finished:
            connection.wait_for(errand)

    def _models(self, found: Found, request: Request, call: InferenceCall) -> None:
        models = [_described(item, found.route) for item in self._usable(request, call).values()]
        call.reply(200, JSON, msgspec.json.encode({"object": "list", "data": models}))

    def _model(self, found: Found, request: Request, call: InferenceCall) -> None:
        name = azure.decode_segment(found.segment)
        deployment = self._usable(request, call).get(name)
        if deployment is None:
            raise DeploymentNotFound(f"The deployment {name[:80]!r} does not exist in this project.", param="model")
        call.reply(200, JSON, msgspec.json.encode(_described(deployment, found.route)))

    def _usable(self, request: Request, call: InferenceCall) -> dict[str, ServedDeployment]:
        found = self._flow.deployments(request.credential, call.at)
        return {name: item for name, item in found.items() if item.stage != "retired"}

    def _healthz(self, found: Found, request: Request, call: InferenceCall) -> None:
        del found, request
        call.reply(200, JSON, b'{"alive":true}')

    def _readyz(self, found: Found, request: Request, call: InferenceCall) -> None:
        del found, request
        reasons = []
        if self._flow.snapshot is None:
            reasons.append("nothing is published to this gateway")
        if not self._flow.usage.available:
            reasons.append("the usage log cannot be written")
        if self.draining:
            reasons.append("the gateway is stopping")
        call.reply(503 if reasons else 200, JSON, msgspec.json.encode({"ready": not reasons, "reasons": reasons}))

    def _metrics(self, found: Found, request: Request, call: InferenceCall) -> None:
        del found, request
        call.reply(200, TEXT, write_metrics(self._families(call.at)))

    def _families(self, at: Instant) -> Iterator[Family]:
        flow, tally = self._flow, self._tally
        answers = [({"route": route, "status": str(status)}, n) for (route, status), n in sorted(tally.answers.items())]
        yield Family("entrepot_requests_total", "counter", "Answers begun, by route and status.", answers)
        errors = [({"code": code}, n) for code, n in sorted(tally.errors.items())]
        yield Family("entrepot_errors_total", "counter", "Errors of the gateway's own, by code.", errors)
        tokens = [({"gen_ai_token_type": meter}, n) for meter, n in sorted(flow.usage.settled.items())]
        yield Family("gen_ai_client_token_usage_total", "counter", "Units settled, by meter.", tokens)
        yield Family("entrepot_streams_open", "gauge", "Event streams being relayed.", alone(len(flow.streams)))
        yield Family("entrepot_connections_open", "gauge", "Connections of clients.", alone(len(self.connections)))
        yield Family("entrepot_usage_mismatches_total", "counter", "Usage that did not sum up.", alone(flow.mismatches))
        yield Family("entrepot_usage_owed", "gauge", "Usage the log did not take yet.", alone(len(flow.usage.owed)))
        yield Family(
            "entrepot_usage_log_available", "gauge", "Whether usage can be written.", alone(int(flow.usage.available))
        )
        snapshot = flow.snapshot
        if snapshot is not None:
            age_s = (at - parse_instant(snapshot.published_at)) / SECOND
            yield Family("entrepot_snapshot_age_seconds", "gauge", "Since it was published.", alone(age_s))
            yield Family("entrepot_snapshot_version", "gauge", "What is served from.", alone(snapshot.version))


def _acting_for(request: Request) -> tuple[bytes, bytes]:
    """(project, tier) that a process of this installation names, or nothing; anybody else's are not looked at."""
    if not request.credential.startswith(_INTERNAL):
        return b"", b""
    return request.field(b"x-entrepot-project"), request.field(b"x-entrepot-tier")


def _described(deployment: ServedDeployment, route: Route) -> dict[str, object]:
    return azure.describe_model(deployment) if route.is_azure else openai.describe_model(deployment)
