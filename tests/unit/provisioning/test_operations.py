"""What a model can be asked, and the prices that it needs for that."""

import pytest

from entrepot.core.catalog import COUNTED_IN, Model, Operation
from entrepot.core.errors import WorldRejected
from entrepot.core.tokens import METERS
from entrepot.dialects.operations import OPERATIONS
from entrepot.provisioning.checks import unpriced
from entrepot.provisioning.world_file import read_world

WORLD = """
operator: {name: Contoso Cloud, currency: USD}
models:
  - {id: m, partner: own, context_tokens: 100, operations: [OPERATIONS]}
upstreams: [{id: up, kind: openai, base_url: "http://up/v1", models: [m]}]
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices: [PRICES]
customers: [{id: acme}]
contracts: [{customer: acme, effective_from: 2024-01-01, price_book: list}]
projects: [{id: search, customer: acme}]
deployments:
  - {id: d, project: search, model: m}
"""


def model(*operations: Operation) -> Model:
    return Model("m", "", "own", 100, "general", operations)


def test_every_operation_can_be_offered_and_is_counted_in_meters_that_there_are() -> None:
    sessions = {"realtime"}  # Asked for on a socket, not by a request.
    assert {row.offered for row in OPERATIONS.values()} | sessions == set(COUNTED_IN)
    assert {meter for ways in COUNTED_IN.values() for meters in ways for meter in meters} <= METERS


@pytest.mark.parametrize(
    ("operations", "prices", "missing"),
    [
        (("images",), {"images"}, ""),
        (("images",), {"input_tokens", "image_output_tokens"}, ""),
        (("images",), {"input_tokens"}, "images, or image_output_tokens"),
        (("speech", "transcriptions"), {"characters"}, "audio_seconds, or audio_input_tokens and output_tokens"),
        (("chat", "responses", "moderations"), set(), "input_tokens and output_tokens; requests, or input_tokens"),
        (("rerank",), {"search_units"}, ""),
    ],
)
def test_one_way_of_counting_must_have_prices(
    operations: tuple[Operation, ...], prices: set[str], missing: str
) -> None:
    assert unpriced(model(*operations), prices.__contains__) == missing


def faults_of(operations: str, prices: str) -> str:
    with pytest.raises(WorldRejected) as rejected:
        read_world([("world.yaml", WORLD.replace("OPERATIONS", operations).replace("PRICES", prices))])
    return rejected.value.message


def test_faults_name_their_line() -> None:
    assert faults_of("images", "").startswith(
        "world.yaml:15: deployment d: model m has no price for images, or input_tokens"
    )
    assert faults_of("paintings", "").startswith("world.yaml:4: model m: operation 'paintings' is not one of chat,")


def test_a_price_by_the_piece_is_enough() -> None:
    price = '{model: m, meter: images, each: "0.04"}'
    world = read_world([("world.yaml", WORLD.replace("OPERATIONS", "images").replace("PRICES", price))])
    assert world.models[0].operations == ("images",)
