"""The tier of service that a request is served at: its own choice or its deployment's, as far as that can be met."""

from collections.abc import Callable
from dataclasses import replace

from entrepot.admission.desk import Desk
from entrepot.admission.holds import Need
from entrepot.admission.ramp import Ramps
from entrepot.admission.refusals import no_spare
from entrepot.core.errors import UnsupportedValue
from entrepot.core.estimate import Estimate
from entrepot.core.periods import Instant
from entrepot.core.service_tiers import PriorityRules
from entrepot.core.snapshot import ServedDeployment
from entrepot.dialects.asked import Asked
from entrepot.dialects.service_tiers import tier_of
from entrepot.flows.serve_inference.client import LimitedClient
from entrepot.flows.serve_inference.counting import Counting
from entrepot.flows.serve_inference.ways import Ready, Way
from entrepot.identity.authenticate import Caller
from entrepot.routing.plan import check_service_tier, check_tier
from entrepot.routing.spare import spare_of, with_spare


class Tiers:
    """Of one gateway process."""

    def __init__(self, desk: Desk, counting: Counting) -> None:
        self._counts = desk.counts
        self._counting = counting
        self._ramps = Ramps(desk)

    def choose(
        self, caller: Caller, deployment: ServedDeployment, asked: Asked, at: Instant, client: LimitedClient
    ) -> tuple[Caller, Asked]:
        """The caller at the tier that the request is served at, and the request as its upstream is told of that.

        Raises: InvalidRequest, UnsupportedValue.
        """
        wanted = tier_of(asked)
        if caller.tier != "default":
            if wanted not in {"auto", "default"}:
                raise UnsupportedValue(
                    f"Requests of a batch are served at the tier {caller.tier}; leave service_tier out.",
                    param="service_tier",
                )
            check_tier(deployment, caller.tier, at)
            return caller, asked
        tier = (deployment.service_tier or "default") if wanted == "auto" else wanted
        check_service_tier(deployment, tier, at)
        used = "default" if tier == "priority" and not self._may_grow(caller, deployment, at) else tier
        client.tell_tier(used, "" if used == tier else "priority_ramp")
        if used != "priority":  # Which is not known yet to take a prompt of this length.
            self._counts.served_at(tier, used)
        return replace(caller, tier=used), asked.at_tier(used)

    def for_prompt(
        self, caller: Caller, deployment: ServedDeployment, asked: Asked, estimate: Estimate, client: LimitedClient
    ) -> tuple[Caller, Asked]:
        """The same of a request at priority, once the length of its prompt is known."""
        longest = _priority(deployment).prompt_tokens_max
        if 0 < longest < estimate.prompt_tokens and deployment.tokenizer not in self._counting.missing:
            client.tell_tier("default", "long_prompt")
            caller, asked = replace(caller, tier="default"), asked.at_tier("default")
        self._counts.served_at("priority", caller.tier)
        return caller, asked

    def need(self, caller: Caller, deployment: ServedDeployment, estimate: Estimate, at: Instant) -> Need:
        """What a request at priority is counted by, beside its limits."""
        return self._ramps.need(_name(caller, deployment), estimate.prompt_tokens, at)

    def spare_ways(
        self, ready: Ready, ways: tuple[Way, ...], at: Instant, estimate: Callable[[], Estimate]
    ) -> tuple[Way, ...]:
        """Those of the ways that a request at flex may go. Raises: FlexUnavailable when there is none."""
        tiers = ready.deployment.service_tiers
        percent = 100 if tiers is None or tiers.flex is None else tiers.flex.busy_percent_max
        spare = with_spare(ways, percent)
        if not spare:
            self._counts.refuse("flex", "flex_unavailable")
            raise no_spare(ready.model, *spare_of(ways, percent), estimate(), at)
        return spare

    def _may_grow(self, caller: Caller, deployment: ServedDeployment, at: Instant) -> bool:
        return self._ramps.has_room(_name(caller, deployment), _priority(deployment), at)


def _priority(deployment: ServedDeployment) -> PriorityRules:
    """Of a deployment that has been found to offer it."""
    tiers = deployment.service_tiers
    assert tiers is not None
    assert tiers.priority is not None
    return tiers.priority


def _name(caller: Caller, deployment: ServedDeployment) -> str:
    return f"{caller.project.id}/{deployment.name}"
