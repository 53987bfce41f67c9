"""What budgets are counted from: the part of the books that knows it."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from entrepot.core.charges import Series
from entrepot.core.periods import Instant


class MonthlyUse(NamedTuple):
    """What a key used of a series in a month of the contract's zone. key: as in usage events."""

    period: str
    series: Series
    key: str
    meter: str
    quantity: int


class BudgetStore(Protocol):
    """Monthly use by key, and what gateways have counted and hold."""

    def add_uses(self, uses: Mapping[tuple[str, Series, str, str], int]) -> None:
        """Adds quantities, by (period, series, key, meter), to what was used."""
        ...

    def uses(self, customer: str, since: str = "", until: str = "9999-12") -> list[MonthlyUse]:
        """What a customer used in the months from one to another, both included, ordered."""
        ...

    def is_known(self, event_id: str) -> bool:
        """Whether usage of this id was recorded, booked or not."""
        ...

    def begin_instance(self, instance: str, at: Instant) -> None:
        """Remembers a gateway instance until it is lost."""
        ...

    def instances(self) -> list[str]:
        """The instances that have begun and are not lost."""
        ...

    def add_counted(self, instance: str, units: Mapping[str, int]) -> None:
        """Adds to what an instance has counted, by counter; nothing of one that is lost, or never began."""
        ...

    def counted(self) -> dict[str, dict[str, int]]:
        """{counter: {instance: what it has counted}}."""
        ...

    def held(self) -> dict[str, dict[str, int]]:
        """{counter: {instance: what its open requests hold}}, of all instances, lost or not."""
        ...
