"""Names as they were: what is issued goes on being told under the names of its day."""

from collections.abc import Iterable

from entrepot.core.periods import Instant
from entrepot.core.world import World

_Past = list[tuple[Instant, str]]  # When a name was applied, and the name.


class PastNames:
    """Who the operator was at an instant, and who owned a model; before the first world, as it says."""

    def __init__(self, worlds: Iterable[tuple[Instant, World]]) -> None:
        """worlds: each with when it was applied, from the first."""
        self._operator: _Past = []
        self._owners: dict[str, _Past] = {}  # "" stands for the operator, whose name changes without the model.
        for at, world in worlds:
            _add(self._operator, at, world.operator.name)
            partners = {partner.id: partner.name for partner in world.partners}
            for model in world.models:
                _add(self._owners.setdefault(model.id, []), at, partners.get(model.partner, ""))

    def operator(self, at: Instant) -> str:
        """The operator's name; "" without any world."""
        return _name_at(self._operator, at)

    def owner(self, model: str, at: Instant) -> str:
        """The name of the model's partner, the last known one after the model was taken out; else the operator's."""
        return _name_at(self._owners.get(model, []), at) or self.operator(at)


def _add(past: _Past, at: Instant, name: str) -> None:
    if not past or past[-1][1] != name:
        past.append((at, name))


def _name_at(past: _Past, at: Instant) -> str:
    return next((name for since, name in reversed(past) if since <= at), past[0][1] if past else "")
