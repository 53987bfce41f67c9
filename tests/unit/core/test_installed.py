"""What provisioned deployments were when, as worlds made it."""

from entrepot.core.catalog import Model
from entrepot.core.installed import Installed, history_after, is_provisioned
from entrepot.core.periods import END_OF_TIME
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.tenancy import Deployment, DeploymentKind

KEY = ("p", "d")
MODELS = {"m": Model("m", "1", "own", 8192, "general")}


def deployed(*units: tuple[int, int], kind: DeploymentKind = "provisioned") -> Deployment:
    return Deployment("d", "p", "m", kind, units=tuple(UnitsFrom(*item) for item in units))


def after(known: tuple[Installed, ...], at: int, *deployments: Deployment) -> tuple[Installed, ...]:
    """What the deployment was, once these are declared at an instant."""
    return history_after({KEY: known} if known else {}, deployments, MODELS, {"p": "acme"}, at).get(KEY, ())


def units(begins: int, count: int) -> Installed:
    return Installed(begins, count, "acme", "m") if count else Installed(begins, 0)


def test_units_are_there_from_their_instant_until_the_next() -> None:
    steps = (units(10, 5), units(20, 1), units(30, 0))
    assert [is_provisioned(steps, at) for at in (0, 9, 10, 20, 29, 30)] == [
        (0, 10, False),
        (0, 10, False),
        (10, 20, True),
        (20, 30, True),
        (20, 30, True),
        (30, END_OF_TIME, False),
    ]
    assert is_provisioned((), 7) == (0, END_OF_TIME, False)


def test_a_number_holds_from_when_it_is_applied_and_so_does_it_that_there_is_none() -> None:
    known = after((), 10, deployed((0, 5)))
    assert known == (units(10, 5),)
    assert after(known, 20, deployed((0, 5))) == known
    assert after(known, 20, deployed((0, 6))) == (units(10, 5), units(20, 6))
    assert after(known, 20) == after(known, 20, deployed((0, 0))) == (units(10, 5), units(20, 0))
    assert after((), 20) == after((), 20, deployed((0, 0))) == after((), 20, deployed((0, 5), kind="standard")) == ()


def test_dates_are_the_truth_from_the_first_one_on() -> None:
    known = (units(10, 5), units(30, 7))
    assert after(known, 50, deployed((20, 6), (40, 0))) == (units(10, 5), units(20, 6), units(40, 0))
    assert after(known, 50, deployed((10, 8))) == (units(10, 8),)
