"""Provisioned deployments in a world file: how they are sized, and what is refused."""

import pytest

from entrepot.core.periods import parse_instant
from entrepot.core.provisioned import UnitsFrom
from entrepot.core.tenancy import Deployment
from entrepot.core.world import decode_world, encode_world
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of

PRICED = changed(
    '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n',
    (
        '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n'
        '          - {model: gpt-4, meter: provisioned_unit_hours, each: "1.00"}\n'
    ),
)
RULES = (
    "[{from: 2023-01-01, minimum: 300, step: 100}, {from: 2024-08-12, minimum: 50, step: 50}, "
    "{from: 2024-12-01, geography: global, minimum: 15, step: 5, "
    "input_tokens_per_minute_per_unit: 2500, output_weight: 4}]"
)

LATER = RULES.replace("2023-01-01", "2024-02-01")


def with_peak(says: str, rules: str = "") -> str:
    text = changed('version: "0613",', f'version: "0613", provisioned: {rules},', PRICED) if rules else PRICED
    return text + f"  - {{id: peak, project: search, model: gpt-4, kind: provisioned, {says}}}\n"


def peak(says: str, rules: str = "") -> Deployment:
    world = read_world([("world.yaml", with_peak(says, rules))])
    assert decode_world(encode_world(world)) == world
    return next(item for item in world.deployments if item.id == "peak")


def test_units_are_a_number_or_a_history() -> None:
    assert peak("units: 100, spillover: chat").units == (UnitsFrom(0, 100),)
    dated = peak('units: [{from: 2024-03-05T10:20:00Z, units: 100}, {from: "2024-03-05T13:15:00Z", units: 0}]')
    assert dated.units == (
        UnitsFrom(parse_instant("2024-03-05T10:20:00Z"), 100),
        UnitsFrom(parse_instant("2024-03-05T13:15:00Z"), 0),
    )


@pytest.mark.parametrize("units", ["15", "20", "115", "[{from: 2024-01-01, units: 0}, {from: 2024-02-01, units: 15}]"])
def test_a_model_without_a_rule_has_fifteen_by_five(units: str) -> None:
    peak(f"units: {units}")


@pytest.mark.parametrize(
    "says",
    [
        "units: [{from: 2024-01-01, units: 300}, {from: 2024-08-12, units: 100}, {from: 2024-12-01, units: 15}]",
        "geography: regional, units: [{from: 2024-12-01, units: 50}]",
        "units: 15",
    ],
)
def test_minimums_are_those_of_their_time(says: str) -> None:
    peak(says, RULES)


@pytest.mark.parametrize(
    ("says", "rules", "message"),
    [
        ("units: 12", "", "12 units are not possible: a global provisioned deployment of model gpt-4 has at least 15"),
        ("units: 17", "", "at least 15, in steps of 5 (model gpt-4 declares no `provisioned` of its own)"),
        ("units: [{from: 2024-08-11, units: 100}]", RULES, "100 units from 2024-08-11T00:00:00Z are not possible"),
        ("units: [{from: 2024-11-30, units: 15}]", RULES, "has at least 50, in steps of 50"),
        ("geography: regional, units: 15", RULES, "a regional provisioned deployment of model gpt-4 has at least 50"),
        ("units: [{from: 2024-01-02, units: 300}]", LATER, "is not available from 2024-01-02T00:00:00Z"),
        ("units: [{from: 2023-12-31, units: 300}]", RULES, "when customer acme has no contract"),
        ("spillover: chat", "", "units is missing"),
        ("units: many", "", "units must be a whole number"),
        ("units: []", "", "units must have at least one"),
        ("units: [{from: 2024-03-05T10:20:30Z, units: 15}]", "", "from must be a whole minute"),
        ("units: [{from: 2024-03-05, units: 15}, {from: 2024-03-05, units: 20}]", "", "in the order of time"),
        ("units: 15, spillover: cat", "", "has no deployment 'cat'; did you mean 'chat'?"),
        ("units: 15, spillover: small", "", "small is of model smollm2-135m; it must be of gpt-4, or of a model"),
        ("units: 15, spillover: peak", "", "peak is provisioned itself"),
        ("units: 15, geography: regional, spillover: chat", "", "chat is global, and requests of a regional"),
        ("units: 15, geography: local", "", "geography 'local' is not one of global, data_zone, regional"),
        ("units: 15", "{minimum: 15}", "step is missing"),
        ("units: 15", "[{minimum: 15, step: 5}, {minimum: 20, step: 5}]", "another rule for the same geography"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(says: str, rules: str, message: str) -> None:
    (fault,) = faults_of(with_peak(says, rules))
    assert message in fault


def test_spillover_may_lead_to_a_model_that_is_declared_compatible() -> None:
    text = changed(
        'version: "0613",', 'version: "0613", compatible: [smollm2-135m],', with_peak("units: 15, spillover: small")
    )
    assert next(item for item in read_world([("w", text)]).deployments if item.id == "peak").spillover == "small"


def test_a_standard_deployment_has_no_units() -> None:
    (fault,) = faults_of(SMALL + "  - {id: more, project: search, model: gpt-4, units: 15}\n")
    assert "units is for deployments of kind provisioned" in fault


def test_units_need_a_price_and_tokens_none() -> None:
    (fault,) = faults_of(SMALL + "  - {id: peak, project: search, model: gpt-4, kind: provisioned, units: 15}\n")
    assert "model gpt-4 has no price for provisioned_unit_hours" in fault
    tokens = changed(
        '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n', "", with_peak("units: 15")
    )
    read_world(
        [("w", tokens.replace("  - {id: chat, project: search, model: gpt-4, tokens_per_minute: 240000}\n", ""))]
    )
