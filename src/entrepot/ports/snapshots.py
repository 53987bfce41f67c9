"""Publishing and loading what gateways serve from."""

from typing import Protocol

from entrepot.core.snapshot import GatewaySnapshot


class Snapshots(Protocol):
    """The place where the control side leaves the newest snapshot for gateways."""

    def publish(self, snapshot: GatewaySnapshot) -> None:
        """Replaces the published snapshot whole; readers see the old or the new one, never a mixture."""
        ...

    def load(self) -> GatewaySnapshot | None:
        """The published snapshot, or None before the first. Raises: SnapshotRefused."""
        ...
