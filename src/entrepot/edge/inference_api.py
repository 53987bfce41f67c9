"""The gateway's front: finds the route, makes the request's id, calls one flow, shapes the answer."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from entrepot.core import shortcuts
from entrepot.core.errors import DeploymentNotFound, EntrepotError, InvalidRequest, RequestTooLarge
from entrepot.core.identifiers import INTERNAL_PREFIX
from entrepot.core.periods import Instant
from entrepot.core.snapshot import ServedDeployment
from entrepot.dialects import azure, openai, realtime
from entrepot.dialects.operations import OPERATIONS
from entrepot.edge import websocket
from entrepot.edge.client_connection import ClientConnection, ClientLimits, Connection
from entrepot.edge.cross_origin import allowed, preflight_fields
from entrepot.edge.error_bodies import protocol_error
from entrepot.edge.gateway_report import GatewayReport, Scrape, Watchers
from entrepot.edge.http_answers import JSON, TEXT
from entrepot.edge.http_requests import Refusal, Request, RequestHead
from entrepot.edge.inference_call import Desk, InferenceCall
from entrepot.edge.routes import Found, Kind, MethodRefused, Route, check_found, find_route, job_target, speaks_azure
from entrepot.edge.session_call import SessionCall
from entrepot.edge.tracing import begin_stages
from entrepot.flows.forward_jobs import ForwardJobs, JobAsk
from entrepot.flows.serve_inference.asks import Ask, SessionAsk
from entrepot.flows.serve_inference.flow import ServeInference
from entrepot.flows.serve_inference.stored import StoredAsk, checked_id
from entrepot.ports.clock import Clock

_log = logging.getLogger("entrepot.gateway")
_event_id: Final = shortcuts.event_id  # Bound once; see decisions/0009.
_OPERATIONS: Final = OPERATIONS
_INTERNAL: Final = INTERNAL_PREFIX.encode()
_PLAIN: Final = frozenset({b"", b"identity"})
# Routes that look at no body, and do not ask, or not where all others do, who calls.
_WITHOUT_BODY: Final[frozenset[Kind]] = frozenset({"healthz", "readyz", "metrics", "realtime"})


class InferenceApi:
    """What all connections of a gateway process speak to. desk: what their requests share."""

    def __init__(
        self,
        flow: ServeInference,
        jobs: ForwardJobs,
        clock: Clock,
        instance: int,
        limits: ClientLimits,
        watchers: Watchers,
    ) -> None:
        """instance: the number that keeps this process's ids apart from those of others, in 32 bits."""
        self._flow = flow
        self._jobs = jobs
        self.now: Callable[[], Instant] = clock.now
        self.connections: set[Connection] = set()
        self.report = GatewayReport(flow, self.connections, watchers)
        self.tally = self.report.tally
        self.desk = Desk(
            now=clock.now,
            tally=self.tally,
            ended=self.report.ended,
            region_of=self._region_of,
            cost_of=flow.cost_of,
        )
        self._instance = instance
        self._sequence = 0
        self._answers: dict[str, Callable[[Found, RequestHead, InferenceCall], None]] = {
            "models": self._models,
            "model": self._model,
            "info": self._info,
            "healthz": self._healthz,
            "readyz": self._readyz,
        }
        self.limits = limits

    # ---- what connections call

    def handle(self, request: Request, connection: ClientConnection) -> None:
        """Answers the request, now or later."""
        head = request.head
        call = self._begin(head, connection)
        try:
            found = call.found = head.found or self._find(head, call)
            if found.route.kind == "inference":
                self._infer(found, request, call, connection)
            elif found.route.kind == "jobs":
                self._job(found, request, call, connection)
            elif found.route.kind == "stored":
                self._stored(found, head, call, connection)
            elif found.route.kind == "realtime":
                self._realtime(found, head, call, connection)
            elif found.route.kind == "metrics":
                self._metrics(call, connection)
            else:
                self._answers[found.route.kind](found, head, call)
        except EntrepotError as error:
            if not (isinstance(error, InvalidRequest) and _refused_as_encoded(head, call)):
                call.refuse(error)
        except MethodRefused as refused:
            self._refuse_method(refused.route, head, call)
        except Exception:  # noqa: BLE001 - the boundary of the process: logged, answered, and counted
            _give_up(call, connection)

    def admit(self, head: RequestHead, connection: ClientConnection) -> bool:
        """Whether the body of a request is worth reading: it has a route that looks at it, and its caller is known."""
        call = self._begin(head, connection)
        call.close_after()  # If it is refused here: of the body, which is not read, nobody knows where it ends.
        try:
            found = self._find(head, call)
            if found.route.kind in _WITHOUT_BODY:
                raise InvalidRequest(f"{found.route.path} is asked without a body.")
            self._flow.directory.caller(head.credential, call.at, *_acting_for(head))
        except EntrepotError as error:
            call.refuse(error)
            return False
        except MethodRefused as refused:
            self._refuse_method(refused.route, head, call)
            return False
        except Exception:  # noqa: BLE001 - likewise
            _give_up(call, connection)
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
        self.report.sweep()

    def _region_of(self, upstream: str) -> str:
        snapshot = self._flow.snapshot
        rules = None if snapshot is None else snapshot.upstreams.get(upstream)
        return "" if rules is None else rules.region

    # ---- routes

    def _begin(self, head: RequestHead | None, connection: ClientConnection) -> InferenceCall:
        at = self.now()
        self._sequence += 1
        return InferenceCall(_event_id(at, self._instance, self._sequence), at, self.desk, connection, head)

    def _find(self, head: RequestHead, call: InferenceCall) -> Found:
        """The route of a head, which is remembered with it. Raises: EntrepotError, MethodRefused."""
        call.is_azure = speaks_azure(head.path)
        found = call.found = find_route(head.path)
        check_found(found.route, head.method, head.query)
        head.found = found
        return found

    def _refuse_method(self, route: Route, head: RequestHead, call: InferenceCall) -> None:
        """Refuses a method, unless it is a browser's question before the one of its page."""
        preflight = preflight_fields(head, route)
        if preflight:
            call.reply(200, "text/plain", b"", preflight)
            return
        methods = allowed(route)
        error = protocol_error(405, f"{route.path} is asked with {methods}.", is_azure=route.is_azure)
        call.reply_error(error, f"Allow: {methods}\r\n")

    def _infer(self, found: Found, request: Request, call: InferenceCall, connection: ClientConnection) -> None:
        head = request.head
        operation = _OPERATIONS[found.route.operation]
        ask = Ask(call.id, call.at, operation, found.name, head.credential, request.body)
        if operation.is_form:
            ask.media_type = head.field(b"content-type")
        if head.credential.text.startswith(_INTERNAL):
            ask.project, ask.tier = _acting_for(head)
        tracer = self.report.tracer
        if tracer is not None or call.marks is not None:
            call.stages = ask.stages = begin_stages(call, tracer, self.now)
        exchange = self._flow.serve(ask, call)
        if not call.finished:
            connection.wait_for(exchange)

    def _job(self, found: Found, request: Request, call: InferenceCall, connection: ClientConnection) -> None:
        head = request.head
        caller = self._flow.directory.caller(head.credential, call.at)
        if _refused_as_encoded(head, call):
            return
        ask = JobAsk(
            head.method,
            job_target(found, head.query),
            head.field(b"content-type"),
            request.body,
            deployment=found.segment if "{" in found.route.prefix else b"",
            is_azure=found.route.is_azure,
        )
        errand = self._jobs.forward(ask, caller, call)
        if not call.finished:
            connection.wait_for(errand)

    def _stored(self, found: Found, head: RequestHead, call: InferenceCall, connection: ClientConnection) -> None:
        rest = found.route.path.rpartition("}")[2]
        query = b"&".join(part for part in head.query.split(b"&") if not part.startswith(b"api-version="))
        ask = StoredAsk(call.id, head.method, checked_id(found.name), rest, query.decode("ascii"))
        errand = self._flow.serve_stored(ask, head.credential, call.at, call)
        if not call.finished:
            connection.wait_for(errand)

    def _realtime(self, found: Found, head: RequestHead, call: InferenceCall, connection: ClientConnection) -> None:
        if not websocket.asks_for_websocket(head):
            message = f"{found.route.path} is asked for a WebSocket, of version 13."
            error = protocol_error(426, message, is_azure=found.route.is_azure)
            call.reply_error(error, websocket.UPGRADE_FIELDS)
            return
        credential, protocols = websocket.caller_of(head)
        ask = SessionAsk(
            call.id,
            call.at,
            realtime.deployment_asked(head.query),
            credential,
            websocket.key_of(head),
            protocols,
            websocket.fields_passed_on(head),
        )
        session = self._flow.begin_session(ask, SessionCall(call, connection, self))
        if not call.finished:
            connection.wait_for(session)

    def _models(self, found: Found, head: RequestHead, call: InferenceCall) -> None:
        usable = self._flow.deployments(head.credential, call.at)
        models = [_described(item, found.route, call.at) for item in usable.values()]
        call.reply(200, JSON, msgspec.json.encode({"object": "list", "data": models}))

    def _model(self, found: Found, head: RequestHead, call: InferenceCall) -> None:
        deployment = _named(found.name, self._flow.deployments(head.credential, call.at))
        call.reply(200, JSON, msgspec.json.encode(_described(deployment, found.route, call.at)))

    def _info(self, found: Found, head: RequestHead, call: InferenceCall) -> None:
        """The model of the deployment that path or query names, or of the only one that there is."""
        usable = self._flow.deployments(head.credential, call.at)
        name = found.name or azure.model_in(head.query) or (next(iter(usable)) if len(usable) == 1 else "")
        if not name:
            raise InvalidRequest(
                f"This endpoint serves {len(usable)} deployments; name one as model in the query, "
                "or ask /openai/deployments/NAME/info.",
                param="model",
            )
        call.reply(200, JSON, msgspec.json.encode(azure.tell_model(_named(name, usable))))

    def _healthz(self, found: Found, head: RequestHead, call: InferenceCall) -> None:
        del found, head
        call.reply(200, JSON, b'{"alive":true}')

    def _readyz(self, found: Found, head: RequestHead, call: InferenceCall) -> None:
        del found, head
        reasons = []
        if self._flow.snapshot is None:
            reasons.append("nothing is published to this gateway")
        if not self._flow.usage.available:
            reasons.append("the usage log cannot be written")
        elif not self._flow.usage.answers:
            reasons.append("the usage log does not answer")
        if self.desk.stopping:
            reasons.append("the gateway is stopping")
        call.reply(503 if reasons else 200, JSON, msgspec.json.encode({"ready": not reasons, "reasons": reasons}))

    def _metrics(self, call: InferenceCall, connection: ClientConnection) -> None:
        scrape = Scrape(self.report.written(call.at), lambda text: call.reply(200, TEXT, text))
        connection.wait_for(scrape)
        scrape.go_on()


def _acting_for(head: RequestHead) -> tuple[bytes, bytes]:
    """(project, tier) that a process of this installation names, or nothing; anybody else's are not looked at."""
    if not head.credential.text.startswith(_INTERNAL):
        return b"", b""
    return head.field(b"x-entrepot-project"), head.field(b"x-entrepot-tier")


def _give_up(call: InferenceCall, connection: ClientConnection) -> None:
    """Logs and answers a bug of ours; not behind an answer that has begun, which that would be taken for a part of."""
    _log.exception("request_failed request_id=%s", call.id)
    if call.status:
        connection.close()
    else:
        call.refuse(EntrepotError(f"Something went wrong here; ask the operator about the request {call.id}."))


def _refused_as_encoded(head: RequestHead, call: InferenceCall) -> bool:
    """Whether the body says that it is compressed, and so was refused; for what could not be read, so at no cost."""
    coding = head.field(b"content-encoding").lower()
    if coding in _PLAIN:
        return False
    message = (
        f"The request's body is encoded (Content-Encoding: {coding[:40].decode('ascii', 'replace')}), "
        "and no encoding is read here; send it plain and without that header."
    )
    error = protocol_error(415, message, is_azure=speaks_azure(head.path))
    call.reply_error(error, "Accept-Encoding: identity\r\n")
    return True


def _named(name: str, usable: Mapping[str, ServedDeployment]) -> ServedDeployment:
    """The deployment of a name. Raises: DeploymentNotFound."""
    deployment = usable.get(name)
    if deployment is None:
        raise DeploymentNotFound(f"The deployment {name[:80]!r} does not exist in this project.", param="model")
    return deployment


def _described(deployment: ServedDeployment, route: Route, at: Instant) -> dict[str, object]:
    return azure.describe_model(deployment, at) if route.is_azure else openai.describe_model(deployment, at)
