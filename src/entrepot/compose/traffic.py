"""Traffic for a running gateway: whom to ask, and with which key."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from entrepot.adapters.traffic_client import Endpoint, http_traffic
from entrepot.compose.demo import DemoCustomer, Quickstart
from entrepot.core.errors import BadInput
from entrepot.ports.traffic import Traffic


def endpoint_of(
    quickstart: Path, base_url: str | None, key: str | None, deployment: str | None, *, stream: bool, seed: int
) -> Endpoint:
    """Where to send, from what was said and, for the rest, from the quickstart file. Raises: BadInput."""
    if base_url is None or key is None or deployment is None:
        found = _read(quickstart)
        first = _customer(quickstart, found, key, deployment)
        base_url = base_url or f"{found.gateway}/v1"
        key = key or first.key
        deployment = deployment or first.deployments[0]
    return Endpoint(base_url=base_url, key=key, deployment=deployment, stream=stream, seed=seed)


@asynccontextmanager
async def open_traffic(endpoint: Endpoint) -> AsyncIterator[Traffic]:
    """A sender with connections of its own."""
    async with http_traffic(endpoint) as traffic:
        yield traffic


def _read(quickstart: Path) -> Quickstart:
    try:
        return msgspec.json.decode(quickstart.read_bytes(), type=Quickstart)
    except OSError:
        raise BadInput(
            f"{quickstart} is not there, so give --base-url, --key and --deployment, or start `make run` first"
        ) from None
    except msgspec.DecodeError as error:
        raise BadInput(f"{quickstart} cannot be read ({error}); give --base-url, --key and --deployment") from None


def _customer(path: Path, found: Quickstart, key: str | None, deployment: str | None) -> DemoCustomer:
    """The first customer who has the key, if one was said, and the deployment, if one was said."""
    for customer in found.customers:
        if key in (None, customer.key) and customer.deployments and deployment in (None, *customer.deployments):
            return customer
    if key is not None and deployment is not None:
        return DemoCustomer(name="", key=key, deployments=(deployment,))
    raise BadInput(f"no customer in {path} has that key or deployment; give --base-url, --key and --deployment")
