"""Whatever is declared of models and their successors, a deployment does one thing at a time, and never goes back."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.catalog import Model
from entrepot.core.errors import ModelRetired
from entrepot.core.lifecycle import UPGRADES, Stage, StageFrom, Successor, Upgrade, retired_at
from entrepot.core.periods import END_OF_TIME
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.snapshot import ServedProject
from entrepot.core.tenancy import Customer, Deployment, DeploymentKind, Project
from entrepot.core.upgrades import models_of, upgrade_of
from entrepot.core.world import Operator, World
from entrepot.provisioning.publish import compile_snapshot
from entrepot.routing.plan import deployment_for

LATEST = 40
DATES = st.integers(0, LATEST)


@st.composite
def model(draw: st.DrawFn, name: str, others: list[str]) -> Model:
    """A model that is for all, perhaps not for ever; dates may contradict each other, and successors go in circles."""
    first: Stage = draw(st.sampled_from(["general", "deprecated", "retired"]))
    stages: tuple[StageFrom, ...] = ()
    if first != "retired" and draw(st.booleans()):
        stages = (StageFrom(draw(DATES), "retired"),)
    successor = None
    if draw(st.booleans()):
        successor = Successor(draw(st.sampled_from(others)), draw(st.one_of(DATES, st.just(END_OF_TIME))))
    return Model(name, "", "own", 8192, first, stages=stages, successor=successor)


@st.composite
def projects(draw: st.DrawFn) -> tuple[ServedProject, Deployment, dict[str, Model]]:
    names = ["m0", "m1", "m2", "m3"][: draw(st.integers(1, 4))]
    models = {name: draw(model(name, names)) for name in names}
    kind: DeploymentKind = draw(st.sampled_from(["standard", "provisioned"]))
    option: Upgrade | None = draw(st.sampled_from([None, *UPGRADES]))
    units = (UnitsFrom(0, 15),) if kind == "provisioned" else ()
    deployment = Deployment("chat", "search", "m0", kind, units=units, upgrade=option)
    world = World(
        operator=Operator("Us", "USD"),
        models=tuple(models.values()),
        customers=(Customer("acme", "Acme"),),
        projects=(Project("search", "acme"),),
        deployments=(deployment,),
    )
    served = compile_snapshot(world, (), {}, version=1, at=0).projects["search"]
    return served, deployment, models


@given(projects())
def test_it_serves_one_model_or_none_and_never_one_that_it_has_left(
    found: tuple[ServedProject, Deployment, dict[str, Model]],
) -> None:
    project, deployment, models = found
    order = [of.model for of in models_of(deployment, models)]
    assert len(set(order)) == len(order)
    told: list[int] = []
    for at in range(LATEST + 2):
        try:
            serving = deployment_for(project, "chat", "chat", at).model
        except ModelRetired:
            told.append(len(order))
            continue
        told.append(order.index(serving))
        assert at < retired_at(models[serving].stage, models[serving].stages)
    assert told == sorted(told)  # Refused is the last of all.


@given(projects())
def test_it_changes_when_its_option_says(found: tuple[ServedProject, Deployment, dict[str, Model]]) -> None:
    project, deployment, models = found
    upgrade = upgrade_of(deployment)
    of = models_of(deployment, models)
    if upgrade == "never":
        assert [item.model for item in of] == ["m0"]
    for before, after in pairwise(of):
        left = models[before.model]
        assert left.successor is not None
        assert left.successor.model == after.model
        ends = retired_at(left.stage, left.stages)
        asked = min(ends, left.successor.begins) if upgrade == "on_new_default" else ends
        assert after.begins == max(asked, before.begins)
        at_the_last = project.deployment("chat", after.begins - 1)
        assert after.begins == before.begins or (at_the_last is not None and at_the_last.model == before.model)
