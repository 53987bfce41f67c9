"""A request's way through the gateway, from its body to its usage record.

    identity -> (policy) -> dialect -> admission -> routing -> relay -> metering

`ServeInference.serve` walks the first half at once and refuses by raising; the room that will screen prompts (policy)
opens where it says so. A request that meets limits may have to wait for its hold (admitting.py, queued.py). Then an
`Exchange` (exchange.py) is told what happens by its upstream, its client and the usage log, at any time and in any
order, and ends in exactly one of the ways of docs/operations/usage-rules.md. Nothing here waits or makes a task.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Final

from entrepot.admission.budgets import Budgets, Priced, Running
from entrepot.admission.desk import Desk, Short
from entrepot.admission.holds import Hold, Need
from entrepot.core.errors import EntrepotError, UpstreamUnavailable
from entrepot.core.estimate import Estimate
from entrepot.core.identifiers import Credential
from entrepot.core.log_records import Admitted
from entrepot.core.periods import Instant
from entrepot.core.snapshot import GatewaySnapshot, ServedDeployment
from entrepot.core.tenancy import CacheStore
from entrepot.core.turns import letting_go
from entrepot.core.usage_event import UsageEvent
from entrepot.dialects.asked import Asked, Known
from entrepot.dialects.estimates import estimate_of
from entrepot.dialects.prompt_cache import cache_key
from entrepot.flows.serve_inference.admitting import Admitting, UnderWay
from entrepot.flows.serve_inference.asks import Ask, SessionAsk
from entrepot.flows.serve_inference.checks import Checks
from entrepot.flows.serve_inference.client import Client, LimitedClient, tell_stage
from entrepot.flows.serve_inference.counting import Counting
from entrepot.flows.serve_inference.exchange import Exchange
from entrepot.flows.serve_inference.hedged_exchange import HedgedExchange
from entrepot.flows.serve_inference.queued import Queued, Waiting
from entrepot.flows.serve_inference.repeats import Repeat, Repeats
from entrepot.flows.serve_inference.session import Session
from entrepot.flows.serve_inference.session_client import SessionClient
from entrepot.flows.serve_inference.session_limits import NOTHING_ASKED, SessionLimits, response_needs, room_at_all
from entrepot.flows.serve_inference.shared import Shared
from entrepot.flows.serve_inference.stored import Continuation, StoredAsk, StoredErrand
from entrepot.flows.serve_inference.survey import surveying
from entrepot.flows.serve_inference.tiers import Tiers
from entrepot.flows.serve_inference.timed_exchange import timed
from entrepot.flows.serve_inference.ways import Ready, Ways
from entrepot.identity.authenticate import Caller, Directory
from entrepot.identity.authorize import check_inference
from entrepot.metering.usage_writer import UsageWriter, log_unavailable
from entrepot.ports.answer_store import AnswerStore
from entrepot.ports.tokenizers import Tokenizers
from entrepot.relay.failures import unreachable
from entrepot.relay.upgrade import Upgrade
from entrepot.relay.upstream import UpstreamPool
from entrepot.routing.plan import check_stage, check_tier, deployment_for, keepers_of, only_deployment, spillover_of

_Admitted: Final = Admitted  # Bound once; see decisions/0009.


class ServeInference:
    """The flow of one gateway process. instance: its name in the log. shared: what its exchanges have in common."""

    def __init__(
        self,
        *,
        instance: str,
        usage: UsageWriter,
        pool: UpstreamPool,
        secret_of: Callable[[str], str],
        desk: Desk,
        tokenizers: Tokenizers,
        stores: Mapping[CacheStore, AnswerStore] | None = None,
    ) -> None:
        """secret_of: see ways.Ways. desk: where limits are held. stores: where answers are kept, for caches."""
        self._instance = instance
        self._directory: Directory | None = None
        self.snapshot: GatewaySnapshot | None = None
        self.providers: dict[str, str] = {}  # Who makes each model of the snapshot.
        self.usage = usage
        self.ways = Ways(pool, secret_of)
        self._checks = Checks(self.ways)
        self.shared = Shared(usage, self.ways)
        self.repeats = Repeats(usage, stores or {})
        self.sessions: set[Session] = set()
        self.desk = desk
        self.counting = Counting(tokenizers)
        self._budgets = Budgets(desk.spent)
        self._has_budgets = False
        self._waiting = Waiting(desk.counts)
        self._tiers = Tiers(desk, self.counting)

    def adopting(self, snapshot: GatewaySnapshot, trusted: str = "") -> Generator[None, None, list[str]]:
        """Serves from this snapshot from one of its small steps on, with all there is of it; later ones free the last.

        Open requests end as they began. Returns what of it cannot be used.
        """
        directory, budgets = Directory(snapshot, trusted), Budgets(self.desk.spent, snapshot.projects)
        yield from budgets.following(snapshot.budgets)
        found = yield from surveying(snapshot, self.repeats.fault_of)
        left = [*self.ways.held, *self._budgets.held, *(self._directory.held if self._directory is not None else ())]
        faults = yield from self.ways.adopting(snapshot, found.likes)
        self._directory, self._budgets, self.snapshot, self.providers = directory, budgets, snapshot, found.providers
        self._has_budgets = bool(snapshot.budgets)
        self.counting.follow(found.tokenizers)
        yield from letting_go(left)
        return [*faults, *found.faults]

    def serve(self, ask: Ask, client: LimitedClient) -> Exchange | Repeat | Continuation | Admitting:
        """What answers the client, perhaps already.

        Raises: EntrepotError; then nothing was written to the log, or sent to an upstream.
        """
        if not self.usage.available:
            raise log_unavailable()
        caller = self.directory.caller(ask.credential, ask.at, ask.project, ask.tier)
        operation = ask.operation
        check_inference(caller, operation.offered)
        if ask.stages is not None:
            ask.stages.identified_at = ask.stages.now()
        # policy: may this be asked, and from where?   It will refuse by raising.
        asked = operation.read(ask.body, ask.media_type)
        name = ask.deployment or asked.model or only_deployment(caller.project, operation, ask.at)
        ready = self.ways.plain(caller.project.id, name)
        if ready is None or operation.offered not in ready.operations:
            deployment = deployment_for(caller.project, name, operation.offered, ask.at)
            tell_stage(client, deployment, ask.at)
            ready = self.ways.ready(caller.project.id, deployment)
        tiered = asked.names_tier or ready.service_tier or caller.tier != "default"
        if tiered:
            caller, asked = self._tiers.choose(caller, ready.deployment, asked, ask.at, client)
        budgets = self._budgets.met_by(caller.project.id, caller.key) if self._has_budgets else ()
        if ready.limits or budgets or (tiered and caller.tier == "priority"):
            return self._admit(ask, client, caller, ready, asked, budgets)
        return self._begin(ask, client, caller, ready, asked, None)

    def _admit(
        self,
        ask: Ask,
        client: LimitedClient,
        caller: Caller,
        ready: Ready,
        asked: Asked,
        budgets: Sequence[Running],
        refused: Callable[[Short, EntrepotError], UnderWay | None] | None = None,
    ) -> Exchange | Repeat | Continuation | Admitting:
        """The request with what it may use held, at once or when the counters have answered. refused: see Admitting."""
        deployment = ready.deployment
        estimate = self._estimate(ask, asked, deployment)
        if caller.tier == "priority":
            caller, asked = self._tiers.for_prompt(caller, deployment, asked, estimate, client)
        needs = self._needs(ask.at, caller, ready, estimate, budgets, asked.counts)
        client.tell_limits(partial(self.desk.standings, needs))
        if caller.tier == "priority":
            needs = [*needs, self._tiers.need(caller, deployment, estimate, ask.at)]
        queue = self._waiting.queue(caller.project.id, deployment) if deployment.queue and refused is None else None
        hold = self.desk.hold(needs, ask.at) if queue is None or queue.is_empty else None
        if hold is not None:
            return self._begin(ask, client, caller, ready, asked, hold)
        if refused is None and deployment.usable is not None:
            other = spillover_of(caller.project, deployment, client.spillover, ask.at)
            if other is not None:
                refused = partial(self._spill, ask, client, caller, deployment, other, asked, budgets)
        begin = partial(self._begin, ask, client, caller, ready, asked)
        make: Callable[..., Admitting] = Admitting if queue is None else partial(Queued, queue)
        admitting = make(self.desk, self._waiting.asking, needs, estimate, ask.at, client, begin, refused)
        admitting.start()
        return admitting

    def _needs(
        self,
        at: Instant,
        caller: Caller,
        ready: Ready,
        estimate: Estimate,
        budgets: Sequence[Running],
        counts: Known,
    ) -> list[Need]:
        """What is needed of limits and budgets. Raises: NoPrice."""
        needs = self.desk.needs(ready.limits, estimate, caller.tier, at)
        if budgets:
            priced = Priced(ready.project, ready.name, ready.model, caller.tier, at, estimate, counts)
            needs += [Need(budget.met, units, budget) for budget, units in self._budgets.needs(budgets, priced)]
        return needs

    def _spill(
        self,
        ask: Ask,
        client: LimitedClient,
        caller: Caller,
        full: ServedDeployment,
        other: ServedDeployment,
        asked: Asked,
        budgets: Sequence[Running],
        short: Short,
        error: EntrepotError,
    ) -> UnderWay | None:
        """The request at another deployment, when the units of its own are too busy. One that fails there as well is
        refused as it was at first.
        """
        if not short.need.met.is_bucket:
            client.refuse(error)
            return None

        def failed(_: Short | None, failure: EntrepotError) -> None:
            client.tell_spillover(full.name, other.name, failure.code)
            client.refuse(error)

        client.tell_spillover(full.name, other.name)
        self.desk.counts.spilled += 1
        try:
            check_stage(other, ask.at)
            tell_stage(client, other, ask.at)
            check_tier(other, caller.tier, ask.at)
            ready = self.ways.ready(caller.project.id, other)
            if ready.limits or budgets:
                return self._admit(ask, client, caller, ready, asked, budgets, failed)
            return self._begin(ask, client, caller, ready, asked, None)
        except EntrepotError as failure:
            failed(None, failure)
            return None

    def _estimate(self, ask: Ask, asked: Asked, deployment: ServedDeployment) -> Estimate:
        counter = self.counting.of(deployment.tokenizer)
        return estimate_of(ask.operation, asked, ask.body, deployment.context_tokens, counter)

    def _begin(
        self, ask: Ask, client: Client, caller: Caller, ready: Ready, asked: Asked, hold: Hold | None
    ) -> Exchange | Repeat | Continuation:
        """What answers the client, begun. hold: ended, where this raises. Raises: EntrepotError."""
        try:
            answering = self._prepared(ask, client, caller, ready, asked, hold)
        except Exception:
            if hold is not None:
                hold.release(ask.at)
            raise
        answering.start()
        return answering

    def _prepared(
        self, ask: Ask, client: Client, caller: Caller, ready: Ready, asked: Asked, hold: Hold | None
    ) -> Exchange | Repeat | Continuation:
        """What will answer the client. Raises: EntrepotError."""
        if not ready.is_served:  # It waited, and another snapshot has come.
            ready = self.ways.ready(caller.project.id, ready.deployment)
        operation, pool = ask.operation, ready.pool
        key = cache_key(asked, pool.rules.sticky) if pool.has_choice else b""
        ways = pool.order_for(key) if key else pool.order()
        if not ways:
            raise unreachable(pool.back_in(ask.at))
        if caller.tier == "flex" and ready.deployment.service_tiers is not None:
            ways = self._tiers.spare_ways(ready, ways, ask.at, partial(self._estimate, ask, asked, ready.deployment))
        admitted = _Admitted(  # In the order of its fields, which stays; by name they take three times as long.
            ask.id,
            ask.at,
            self._instance,
            ready.customer,
            ready.project,
            ready.name,
            ready.model,
            caller.tier,
            ways[0].upstream,
            caller.key,
            operation.estimate(asked.size, ready.context_tokens),
            asked.counts,
            () if hold is None else hold.budgets,
        )
        make: Callable[..., Exchange] | None = HedgedExchange if ready.hedges else None
        if ask.stages is not None:
            make = timed(ask.stages)
        if ready.caches:
            repeat = self.repeats.of(caller.project, ready.deployment, operation, asked, admitted, client)
            if repeat is not None:
                begin = partial(make or Exchange, self.shared, operation=operation, pool=pool, ways=ways)
                repeat.begin_with(begin, hold)
                return repeat
        if asked.previous:
            go_on = partial(make or Exchange, self.shared, client, asked, operation, pool, admitted=admitted, hold=hold)
            return Continuation(pool.all_ways(), asked.previous, ready.project, ask.id, ask.at, client, go_on, hold)
        if make is None:  # Nearly always, and a class of its own is made without a search for what its call means.
            return Exchange(self.shared, client, asked, operation, pool, ways, admitted, hold)
        return make(self.shared, client, asked, operation, pool, ways, admitted, hold)

    def serve_stored(self, ask: StoredAsk, credential: Credential, at: Instant, client: Client) -> StoredErrand:
        """What answers a request about a stored response, perhaps already. Raises: EntrepotError."""
        caller = self.directory.caller(credential, at)
        check_inference(caller, "responses")
        project = caller.project
        ways = {
            (way.upstream, way.destination): way
            for item in keepers_of(project, at, to_remove=ask.method == b"DELETE")
            for way in self.ways.pool(project.id, item).all_ways()
        }
        errand = StoredErrand(list(ways.values()), ask, project.id, client)
        errand.start()
        return errand

    def begin_session(self, ask: SessionAsk, client: SessionClient) -> Session | Admitting:
        """The session that the client gets, or is refused later. Raises: EntrepotError; then nothing was sent."""
        if not self.usage.available:
            raise log_unavailable()
        caller = self.directory.caller(ask.credential, ask.at)
        check_inference(caller, "realtime")
        project = caller.project
        deployment = deployment_for(project, ask.deployment, "realtime", ask.at)
        check_tier(deployment, caller.tier, ask.at)
        budgets = self._budgets.met_by(project.id, caller.key)
        ready = self.ways.ready(project.id, deployment)
        if not (ready.limits or budgets):
            return self._open_session(ask, client, caller, deployment, None)
        needs = room_at_all(self.desk.needs(ready.limits, NOTHING_ASKED, caller.tier, ask.at))
        ahead, estimate = partial(self._ahead, caller, deployment), Estimate(0, 0, 0, deployment.context_tokens)

        def begin(hold: Hold) -> Session:
            limits = SessionLimits(self.desk, self._waiting.asking, needs, caller.tier, hold, ahead, estimate)
            return self._open_session(ask, client, caller, deployment, limits)

        admitting = Admitting(
            self.desk, self._waiting.asking, [*needs, *ahead(ask.at)], estimate, ask.at, client, begin
        )
        admitting.start()
        return admitting

    def _ahead(self, caller: Caller, deployment: ServedDeployment, at: Instant) -> list[Need]:
        """What the next response of a session needs of its budgets. Raises: NoPrice."""
        met = self._budgets.met_by(caller.project.id, caller.key)
        whole = Estimate(0, 0, deployment.context_tokens, deployment.context_tokens)
        priced = Priced(caller.project.id, deployment.name, deployment.model, caller.tier, at, whole, ())
        return response_needs(self._budgets, met, priced)

    def _open_session(
        self,
        ask: SessionAsk,
        client: SessionClient,
        caller: Caller,
        deployment: ServedDeployment,
        limits: SessionLimits | None,
    ) -> Session:
        """The session, asked for upstream. limits: released, where this raises. Raises: UpstreamUnavailable."""
        project = caller.project
        try:
            pool = self.ways.pool(project.id, deployment)
            ways = pool.order()
            if not ways:
                raise unreachable(pool.back_in(ask.at))
        except EntrepotError:
            if limits is not None:
                limits.release(ask.at)
            raise
        admitted = Admitted(
            id=ask.id,
            at=ask.at,
            instance=self._instance,
            customer=project.customer,
            project=project.id,
            deployment=deployment.name,
            model=deployment.model,
            tier=caller.tier,
            upstream=ways[0].upstream,
            key=caller.key,
            prompt_tokens_estimate=0,
        )
        asked = Upgrade(ask.key, ask.protocols, ask.fields)
        session = Session(self.shared, self.sessions, client, asked, pool, ways, admitted, limits)
        session.start()
        return session

    @property
    def directory(self) -> Directory:
        """Who may call. Raises: UpstreamUnavailable before the first snapshot."""
        if self._directory is None:
            raise UpstreamUnavailable("Nothing is published here yet; run `entrepot apply`.", retry_after_s=1)
        return self._directory

    def deployments(self, credential: Credential, at: Instant) -> dict[str, ServedDeployment]:
        """What the caller may use now, by name. Raises: InvalidApiKey, PermissionDenied, UpstreamUnavailable."""
        return self.directory.caller(credential, at).project.in_use(at)

    def cost_of(self, usage: UsageEvent) -> tuple[int, str] | None:
        """(pico, currency) of what a request used, where its client may be told."""
        return self._budgets.cost_of(usage)

    def sweep(self, at: Instant) -> None:
        """To be called a few times a second: upstreams that were ejected, and those that rest, get another chance."""
        self.ways.fleet.tick(at)
        self._checks.sweep(at)
        self.desk.sweep(at)
        self._waiting.sweep(at)

    def cut(self) -> None:
        """Ends what is read for clients that have left, and sessions: this process stops."""
        for exchange in list(self.shared.left):
            exchange.client_left("gateway_lost")
        for session in list(self.sessions):
            session.cut()

    def tick(self) -> None:
        """To be called about once a second: says how far open streams are."""
        self.shared.tick()
