"""What the answer caches of a gateway process have done, as metrics."""

from entrepot.core.metrics import Measured, Metric, Report, alone
from entrepot.flows.serve_inference.repeats import Repeats

REQUESTS = Metric("entrepot_cache_requests_total", "counter", "Requests that could have been repeats.", ("result",))
FAILURES = Metric("entrepot_cache_failures_total", "counter", "Times an answer store did not answer.", ("store",))
EVICTIONS = Metric("entrepot_cache_evictions_total", "counter", "Answers in memory that were dropped for others.")
BYTES = Metric("entrepot_cache_bytes", "gauge", "What answers in memory take.")
ENTRIES = Metric("entrepot_cache_entries", "gauge", "Answers in memory.")


def cache_report(repeats: Repeats) -> Report:
    """Nothing where the process has no store."""
    if not repeats.stores:
        return ()
    told = [
        Measured(REQUESTS, {(result,): [count] for result, count in repeats.results.items()}),
        Measured(FAILURES, {(name,): [store.counters.failures] for name, store in repeats.stores.items()}),
    ]
    memory = repeats.stores.get("memory")
    if memory is not None:
        kept = memory.counters
        told += [alone(EVICTIONS, kept.evictions), alone(BYTES, kept.size_bytes), alone(ENTRIES, kept.entries)]
    return tuple(told)
