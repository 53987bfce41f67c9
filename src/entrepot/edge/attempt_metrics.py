"""What a gateway process has tried again, hedged, read on, and was served otherwise than it asked, as metrics."""

from entrepot.core.metrics import Measured, Metric, Report, alone
from entrepot.flows.serve_inference.shared import Shared

RETRIES = Metric("entrepot_retries_total", "counter", "Requests tried at a further upstream.")
NOT_RETRIED = Metric("entrepot_retries_refused_total", "counter", "Retries that the budget did not allow.")
HEDGES = Metric("entrepot_hedges_total", "counter", "Requests that a second upstream was asked for as well.")
DRAINING = Metric("entrepot_answers_draining", "gauge", "Answers read to the end for clients that have left.")
LOWERED = Metric(
    "entrepot_service_tier_lowered_total",
    "counter",
    "Requests at priority that their upstream served at its standard tier, so that they are billed at default.",
    ("entrepot_upstream",),
)


def attempt_report(shared: Shared) -> Report:
    """What is known now."""
    fleet = shared.ways.fleet
    return (
        alone(RETRIES, fleet.retries),
        alone(NOT_RETRIED, fleet.refused_retries),
        alone(HEDGES, shared.hedges),
        alone(DRAINING, len(shared.left)),
        Measured(LOWERED, {(upstream,): [count] for upstream, count in shared.lowered.items()}),
    )
