"""What becomes of a deployment at its model's dates: option by dates by successor, from world file to answer."""

import pytest

from entrepot.core.errors import ModelRetired
from entrepot.core.periods import DAY, parse_instant
from entrepot.core.snapshot import ServedProject
from entrepot.provisioning.publish import compile_snapshot, unserved
from entrepot.provisioning.world_file import read_world
from entrepot.routing.plan import deployment_for
from tests.support.worlds import faults_of

DEFAULT, RETIRED = parse_instant("2024-06-01"), parse_instant("2024-09-01")
FROM, GONE = "from: 2024-06-01", "stages: [{stage: retired, from: 2024-09-01}]"
TAKES = "successor: {{model: two{}}}".format
WHEN = (DEFAULT - DAY, DEFAULT - 1, DEFAULT, RETIRED - 1, RETIRED, RETIRED + 365 * DAY)

PRICES = "\n".join(
    f'          - {{model: {model}, meter: {meter}, {price}: "{number}"}}'
    for number, model in enumerate(("one", "two", "three"), 1)
    for meter, price in (
        ("input_tokens", "per_million"),
        ("output_tokens", "per_million"),
        ("provisioned_unit_hours", "each"),
    )
)
WORLD = f"""\
operator: {{name: Meridian Cloud, currency: USD}}
models:
  - {{id: one, partner: own, context_tokens: 8192, ONE}}
  - {{id: two, partner: own, context_tokens: 8192, TWO}}
  - {{id: three, partner: own, context_tokens: 8192}}
upstreams:
  - {{id: east, kind: openai, base_url: "https://east.example/v1", models: [one, two, three]}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
{PRICES}
customers: [{{id: acme}}]
contracts: [{{customer: acme, effective_from: 2024-01-01, price_book: list}}]
projects: [{{id: search, customer: acme}}]
deployments:
  - {{id: chat, project: search, model: one, CHAT}}
"""


def world(one: str, chat: str = "", two: str = "") -> str:
    return (
        WORLD.replace(", ONE", f", {one}" if one else "")
        .replace(", TWO", f", {two}" if two else "")
        .replace(", CHAT", f", {chat}" if chat else "")
    )


def served(text: str) -> ServedProject:
    return compile_snapshot(read_world([("world.yaml", text)]), (), {}, version=1, at=0).projects["search"]


def answers(project: ServedProject) -> list[str]:
    """What the deployment does at each of WHEN: the model that answers, or 410."""
    found = []
    for at in WHEN:
        try:
            found.append(deployment_for(project, "chat", "chat", at).model)
        except ModelRetired:
            found.append("410")
    return found


def table(text: str) -> list[str]:
    return ["410" if word == "410" else {"1": "one", "2": "two", "3": "three"}[word] for word in text.split()]


@pytest.mark.parametrize("kind", ["standard", "provisioned"])
@pytest.mark.parametrize(
    ("upgrade", "one", "expected"),
    [
        # Before the default's date, a moment before, on it; a moment before the retirement's, on it, a year after.
        ("on_new_default", f"{TAKES(', ' + FROM)}, {GONE}", "1 1 2 2 2 2"),
        ("on_new_default", TAKES(", " + FROM), "1 1 2 2 2 2"),
        ("on_new_default", f"{TAKES('')}, {GONE}", "1 1 1 1 2 2"),
        ("on_new_default", TAKES(""), "1 1 1 1 1 1"),
        ("on_new_default", GONE, "1 1 1 1 410 410"),
        ("on_new_default", f"{TAKES('')}, stage: retired", "2 2 2 2 2 2"),
        ("on_retirement", f"{TAKES(', ' + FROM)}, {GONE}", "1 1 1 1 2 2"),
        ("on_retirement", TAKES(", " + FROM), "1 1 1 1 1 1"),
        ("on_retirement", f"{TAKES('')}, {GONE}", "1 1 1 1 2 2"),
        ("on_retirement", TAKES(""), "1 1 1 1 1 1"),
        ("on_retirement", GONE, "1 1 1 1 410 410"),
        ("on_retirement", f"{TAKES('')}, stage: retired", "2 2 2 2 2 2"),
        ("never", f"{TAKES(', ' + FROM)}, {GONE}", "1 1 1 1 410 410"),
        ("never", TAKES(", " + FROM), "1 1 1 1 1 1"),
        ("never", f"{TAKES('')}, {GONE}", "1 1 1 1 410 410"),
        ("never", GONE, "1 1 1 1 410 410"),
        ("never", f"{TAKES('')}, stage: retired", "410 410 410 410 410 410"),
    ],
)
def test_what_a_deployment_answers_with(kind: str, upgrade: str, one: str, expected: str) -> None:
    units = ", units: 15" if kind == "provisioned" else ""
    assert answers(served(world(one, f"upgrade: {upgrade}, kind: {kind}{units}"))) == table(expected)


@pytest.mark.parametrize(
    ("kind", "expected"), [("kind: standard", "1 1 1 1 2 2"), ("kind: provisioned, units: 15", "1 1 1 1 410 410")]
)
def test_units_are_left_alone_unless_asked(kind: str, expected: str) -> None:
    assert answers(served(world(f"{TAKES(', ' + FROM)}, {GONE}", kind))) == table(expected)


def test_successors_have_successors() -> None:
    two = "successor: {model: three}, stages: [{stage: retired, from: 2024-09-01}]"
    project = served(world(TAKES(", " + FROM), "upgrade: on_new_default", two))
    assert answers(project) == table("1 1 2 2 3 3")
    told = [(item.model, item.upgraded_from, str(item.successor)) for item in project.as_ever()]
    assert told == [
        ("one", "", "two from 2024-06-01T00:00:00Z"),
        ("two", "one", "three from 2024-09-01T00:00:00Z"),
        ("three", "two", "None"),
    ]


def test_who_is_at_its_end_is_told_what_to_do() -> None:
    with pytest.raises(ModelRetired, match=r"is retired since 2024-09-01.*no successor is named.* current model"):
        deployment_for(served(world(GONE)), "chat", "chat", RETIRED)
    with pytest.raises(ModelRetired, match=r"successor is two.*point it at that model, or change its `upgrade`"):
        deployment_for(served(world(f"{TAKES('')}, {GONE}", "upgrade: never")), "chat", "chat", RETIRED)


def test_what_nothing_serves_is_said_with_the_date() -> None:
    text = world(f"{TAKES('')}, {GONE}").replace("models: [one, two, three]", "models: [one, three]")
    (note,) = unserved(read_world([("world.yaml", text)]))
    assert note.endswith("no upstream serves model two, so its requests will be refused from 2024-09-01T00:00:00Z on")


@pytest.mark.parametrize(
    ("one", "two", "chat", "said"),
    [
        ("successor: {model: tow}", "", "", "successor 'tow' is not declared; did you mean 'two'?"),
        ("successor: {model: one}", "", "", "successor one leads back to it"),
        ("successor: two", "", "", "must be keys with values"),
        (TAKES(", " + FROM), "stage: preview", "", "is in preview on 2024-06-01T00:00:00Z, when it takes its place"),
        (TAKES(", " + FROM), "stage: retired", "", "is retired on 2024-06-01T00:00:00Z"),
        (TAKES(", " + FROM), "operations: [chat]", "", "does not offer completions"),
        (TAKES(", " + FROM), "", "upgrade: sometimes", "upgrade 'sometimes' is not one of on_new_default, "),
        (
            f"{TAKES('')}, {GONE}",
            "provisioned: {minimum: 50, step: 50}",
            "kind: provisioned, units: 15, upgrade: on_retirement",
            "15 units from 2024-09-01T00:00:00Z are not possible: a global provisioned deployment of model two",
        ),
    ],
)
def test_one_clear_fault_each(one: str, two: str, chat: str, said: str) -> None:
    (fault,) = faults_of(world(one, chat, two))
    assert said in fault


def test_a_successor_needs_prices_where_a_deployment_is_upgraded_to_it() -> None:
    text = "\n".join(
        line for line in world(TAKES(", " + FROM), "UPGRADE").splitlines() if "model: two, meter" not in line
    )
    (fault,) = faults_of(text.replace("UPGRADE", "upgrade: on_new_default"))
    assert "model two, which it is upgraded to, has no price for input_tokens and output_tokens" in fault
    assert answers(served(text.replace("UPGRADE", "upgrade: never"))) == table("1 1 1 1 1 1")


def test_of_successors_in_a_circle_each_is_told() -> None:
    faults = faults_of(world("successor: {model: two}", "", "successor: {model: one}"))
    assert [fault.partition("successor ")[2] for fault in faults] == [
        "two leads back to it; one model must be the last",
        "one leads back to it; one model must be the last",
    ]
