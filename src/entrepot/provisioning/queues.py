"""A deployment's `queue`: what may be declared of it."""

from entrepot.core.tenancy import Queueing
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import read_duration_s

FOR_S_MAX = 60  # The longest window; clients do not wait for much longer either.
REQUESTS_MAX = 10_000


def read_queue(deployment: Fields) -> Queueing | None:
    """What the deployment says of a queue; None when it says nothing."""
    fields = deployment.section("queue", "queue", ("for", "requests"))
    if fields is None:
        return None
    if not (deployment.has("tokens_per_minute") or deployment.has("units")):
        deployment.fault("queue: it meets no limit that a request could wait for; declare tokens_per_minute", "queue")
    queue = Queueing(read_duration_s(fields, "for", 24 * 3600), fields.integer("requests", 100, 1))
    if queue.for_s > FOR_S_MAX:
        fields.fault(f"for must be at most {FOR_S_MAX}s", "for")
    if queue.requests > REQUESTS_MAX:
        fields.fault(f"requests must be at most {REQUESTS_MAX}", "requests")
    return queue
