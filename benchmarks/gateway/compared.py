"""Which targets there are, and how those that can run here are started."""

from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.gateway import targets
from benchmarks.gateway.load import MockUpstream
from benchmarks.gateway.native_tools import ToolMissing
from benchmarks.gateway.processes import Children
from benchmarks.gateway.product import entrepot
from benchmarks.gateway.targets import Target, refuses_strangers

DIRECT = "direct"
DEFAULT = (DIRECT, "nginx", "uvicorn", "entrepot")
STARTERS: dict[str, Callable[[Children, MockUpstream], Target]] = {
    DIRECT: targets.direct,
    "nginx": targets.nginx,
    "uvicorn": targets.uvicorn,
    "entrepot": partial(entrepot, 20, 20),
    "entrepot-1000keys": partial(entrepot, 200, 1000),
}


def start_all(children: Children, mock: MockUpstream, names: Sequence[str], notes: list[str]) -> dict[str, Target]:
    """The targets that can run here, started and ready; what is left out is noted.

    Raises: RuntimeError for one that does not answer or lets a wrong key through.
    """
    running: dict[str, Target] = {}
    for name in names:
        try:
            target = STARTERS[name](children, mock)
        except ToolMissing as error:
            notes.append(str(error))
            continue
        if name != DIRECT and not refuses_strangers(target):
            raise RuntimeError(f"{name} lets a wrong key through, so there is nothing to compare")
        running[name] = target
    return running
