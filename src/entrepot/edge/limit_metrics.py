"""What limits have let through and what not, as metrics."""

from entrepot.admission.counts import FILL_PERCENT, Counts
from entrepot.core.metrics import Measured, Metric, Report, alone

HOLDS = Metric("entrepot_limit_holds_total", "counter", "Requests admitted by the limits they meet.")
UNITS = Metric("entrepot_limit_units_total", "counter", "Units that these held, as estimated.", ("measure",))
DRAWS = Metric("entrepot_limit_draws_total", "counter", "Times the counters of limits were asked.", ("result",))
REFUSALS = Metric("entrepot_limit_refusals_total", "counter", "Requests that limits refused.", ("limit", "code"))
SPILLED = Metric(
    "entrepot_limit_spillovers_total",
    "counter",
    "Requests that went to a spillover deployment, since the units of their own were too busy.",
)
WAITING = Metric("entrepot_limit_queued", "gauge", "Requests that wait in the queues of their deployments now.")
WAITED = Metric("entrepot_limit_queued_total", "counter", "Requests that waited in the queue of their deployment.")
TIERS = Metric(
    "entrepot_service_tier_requests_total",
    "counter",
    "Requests that chose a tier of service, or whose deployment did, and the tier they were admitted at.",
    ("chosen", "served"),
)
FILL = Metric(
    "entrepot_limit_utilization_ratio",
    "histogram",
    "How full a limit was when units were drawn.",
    per=100,
    bounds=FILL_PERCENT,
)


def limit_report(counts: Counts) -> Report:
    """Nothing where no request has met a limit."""
    if not (counts.holds or counts.refused or counts.tiers):
        return ()
    return (
        alone(HOLDS, counts.holds),
        Measured(UNITS, {(measure,): [units] for measure, units in counts.units.items()}),
        Measured(DRAWS, {(result,): [count] for result, count in counts.draws.items()}),
        Measured(REFUSALS, {labels: [count] for labels, count in counts.refused.items()}),
        alone(SPILLED, counts.spilled),
        alone(WAITING, counts.waiting),
        alone(WAITED, counts.waited),
        Measured(TIERS, {labels: [count] for labels, count in counts.tiers.items()}),
        Measured(FILL, {(): counts.fill}),
    )
