"""What a gateway process has tried again, hedged and read on, as metrics."""

from entrepot.core.metrics import Metric, Report, alone
from entrepot.flows.serve_inference.shared import Shared

RETRIES = Metric("entrepot_retries_total", "counter", "Requests tried at a further upstream.")
NOT_RETRIED = Metric("entrepot_retries_refused_total", "counter", "Retries that the budget did not allow.")
HEDGES = Metric("entrepot_hedges_total", "counter", "Requests that a second upstream was asked for as well.")
DRAINING = Metric("entrepot_answers_draining", "gauge", "Answers read to the end for clients that have left.")


def attempt_report(shared: Shared) -> Report:
    """What is known now."""
    fleet = shared.ways.fleet
    return (
        alone(RETRIES, fleet.retries),
        alone(NOT_RETRIED, fleet.refused_retries),
        alone(HEDGES, shared.hedges),
        alone(DRAINING, len(shared.left)),
    )
