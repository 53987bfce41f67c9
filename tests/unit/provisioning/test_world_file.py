"""World files: what is in scope is read exactly, and every fault is named with its line."""

import pytest

from entrepot.core.periods import END_OF_TIME, HOUR, parse_instant
from entrepot.core.world import World, WorldIndex, decode_world, encode_world
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of


def line_of(needle: str, text: str) -> int:
    (found,) = [number for number, line in enumerate(text.splitlines(), start=1) if needle in line]
    return found


def world(text: str = SMALL) -> World:
    return read_world([("world.yaml", text)])


def test_everything_in_scope_is_read() -> None:
    read = world()
    assert read.operator.name == "Meridian Cloud"
    assert read.operator.rounding == "half_up"
    assert [model.id for model in read.models] == ["gpt-4", "smollm2-135m"]
    assert read.models[0].version == "0613"
    assert read.upstreams[0].base_url == "https://east.example/v1"
    assert not read.upstreams[0].usage_lookup
    assert read.upstreams[1].usage_lookup
    assert [price.unit_pico for price in read.price_books[0].prices] == [30_000_000, 60_000_000, 100_000, 200_000]
    assert read.price_books[0].id == "list@2024-01-01"
    assert read.customers[0].since == parse_instant("2023-06-01")
    assert read.contracts[0].id == "acme@2024-01-01"
    assert read.contracts[0].currency == "USD"
    assert read.contracts[0].zone == "UTC"
    assert read.contracts[0].effective_to == END_OF_TIME
    assert read.contracts[0].line_grain == "meter"
    assert read.deployments[0].tokens_per_minute == 240_000
    assert decode_world(encode_world(read)) == read


def test_the_order_of_a_file_does_not_matter() -> None:
    sections = [f"{part}" for part in SMALL.replace("\n  ", "\0").splitlines()]
    turned = "\n".join(reversed(sections)).replace("\0", "\n  ")
    assert world(turned) == world()


def test_sections_may_be_spread_over_files() -> None:
    at = SMALL.index("customers:")
    assert read_world([("a", SMALL[:at]), ("b", SMALL[at:])]) == world()


def test_money_is_never_a_float() -> None:
    exact = world(changed('per_million: "30"', "per_million: 0.000003"))
    assert exact.price_books[0].prices[0].unit_pico == 3
    assert faults_of(changed('per_million: "30"', "per_million: 1e-3")) == [
        (
            "world.yaml:15: price of input_tokens of gpt-4: '1e-3' is not a decimal number "
            "with at most 12 digits after the point"
        )
    ]


def test_a_mapping_gives_models_the_upstreams_own_names() -> None:
    read = world(changed("models: [gpt-4]", 'models: {gpt-4: "gpt-4-0613"}'))
    assert read.upstreams[0].models == {"gpt-4": "gpt-4-0613"}


def test_operations_follow_the_kind_of_upstream_unless_declared() -> None:
    text = SMALL.replace("kind: llama_cpp", "kind: onnx_embeddings")
    assert world(text).models[1].operations == ("embeddings",)
    assert world().models[1].operations == ("chat", "completions")
    declared = changed("{id: gpt-4, version", "{id: gpt-4, operations: [embeddings, chat], version")
    assert world(declared).models[0].operations == ("chat", "embeddings")


def test_a_model_that_only_embeds_needs_no_price_for_output() -> None:
    text = changed('          - {model: smollm2-135m, meter: output_tokens, per_million: "0.20"}\n', "")
    assert "no price for output_tokens" in faults_of(text)[0]
    world(text.replace("kind: llama_cpp", "kind: onnx_embeddings"))


def test_a_later_contract_ends_an_earlier_one() -> None:
    text = changed("projects:\n", "  - {customer: acme, effective_from: 2024-07-01, price_book: list}\nprojects:\n")
    first, second = world(text).contracts
    assert first.effective_to == second.effective_from == parse_instant("2024-07-01")
    assert second.effective_to == END_OF_TIME


def test_dates_mean_midnight_in_the_contracts_zone() -> None:
    text = changed("    price_book: list\n", "    price_book: list\n    zone: Europe/Berlin\n")
    read = world(text)
    assert read.contracts[0].effective_from == parse_instant("2024-01-01") - HOUR
    assert read.customers[0].since == parse_instant("2023-06-01") - 2 * HOUR
    ((begins, first),) = WorldIndex(read).price_versions("list", "Europe/Berlin")
    assert begins == read.contracts[0].effective_from
    assert first.id == "list@2024-01-01"


def test_lines_may_be_drawn_by_model() -> None:
    text = changed("    price_book: list\n", "    price_book: list\n    terms: [{kind: lines, grain: model}]\n")
    assert world(text).contracts[0].line_grain == "model"


def test_directories_and_their_people() -> None:
    text = SMALL + (
        "identity_providers:\n"
        '  - {issuer: https://login.example, audiences: [api://meridian], keys: \'{"keys": [{"kty": "RSA"}]}\'}\n'
        "principals:\n"
        "  - {id: 7c9e6679-7425-40de-944b-e07fc1f90ae7, project: search, role: reader}\n"
    )
    read = world(text)
    assert read.identity_providers[0].audiences == ("api://meridian",)
    assert read.principals[0].role == "reader"


def test_with_several_directories_each_principal_is_of_one() -> None:
    providers = "identity_providers:\n" + "".join(
        f'  - {{issuer: "https://{name}.example", audiences: [x], keys: \'{{"keys": [{{"kty": "RSA"}}]}}\'}}\n'
        for name in ("one", "two")
    )
    people = "principals:\n  - {id: p, project: search"
    read = world(SMALL + providers + people + ', issuer: "https://two.example"}\n')
    assert read.principals[0].issuer == "https://two.example"
    assert "there are 2 identity providers" in faults_of(SMALL + providers + people + "}\n")[0]
    assert "is not declared" in faults_of(SMALL + providers + people + ', issuer: "https://to.example"}\n')[0]


ONE_FAULT = [
    ("customers:\n", "custmers: []\ncustomers:\n", "custmers", "unknown key 'custmers'; did you mean 'customers'?"),
    ("name: Acme,", "nmae: Acme,", "nmae", "customer acme has an unknown key 'nmae'; did you mean 'name'?"),
    ("stage: general}", "stage: finished}", "finished", "stage 'finished' is not one of preview, early_access"),
    ("context_tokens: 8192", "context_tokens: many", "many", "context_tokens must be a whole number of at least 1"),
    ("context_tokens: 8192, ", "", "0613", "model gpt-4: context_tokens is missing"),
    ("context_tokens: 8192", "context_tokens: ", "0613", "context_tokens has no value"),
    ("name: Acme,", "name: [Acme],", "[Acme]", "name must be a single value, not a list"),
    ("partner: openai", "partner: opnai", "opnai", "partner 'opnai' is not declared; did you mean 'openai'?"),
    ("models: [smollm2-135m]", "models: [smollm]", "[smollm]", "model 'smollm' is not declared"),
    (
        "{model: gpt-4, meter: output_tokens",
        "{model: gpt-5, meter: output_tokens",
        "gpt-5",
        "model 'gpt-5' is not declared",
    ),
    (
        'meter: output_tokens, per_million: "60"',
        'meter: outputs, per_million: "60"',
        "outputs",
        "meter 'outputs' is not one of",
    ),
    ("customer: acme\n", "customer: acne\n", "acne", "customer 'acne' is not declared; did you mean 'acme'?"),
    ("price_book: list", "price_book: lst", "lst", "price book 'lst' is not declared; did you mean 'list'?"),
    ("customer: acme}", "customer: nobody}", "nobody", "customer 'nobody' is not declared"),
    ("project: search, model: gpt-4", "project: find, model: gpt-4", "find", "project 'find' is not declared"),
    ("search, model: gpt-4,", "search, model: gpt-3,", "gpt-3", "model 'gpt-3' is not declared"),
    ('"30"', '"0.0000001"', "0.0000001", "is not a whole number of pico (1e-12) per token"),
    ('"30"', '"-30"', "-30", "a price cannot be negative"),
    (
        "effective_from: 2024-01-01\n    price",
        "effective_from: 2024-13-01\n    price",
        "2024-13",
        "is not an RFC 3339 time or a date",
    ),
    ("since: 2023-06-01", "since: 2023-06-01T08:00:00", "T08", "has no zone"),
    ("currency: USD", "currency: USS", "USS", "currency 'USS' is not an ISO 4217 code"),
    (
        "price_book: list\n",
        "price_book: list\n    zone: Europe/Bern\n",
        "Bern",
        "'Europe/Bern' is not an IANA time zone",
    ),
    ("name: Acme,", 'name: "A\\ncme",', '"A', "name has a character that cannot be printed"),
    ("market: US", "market: usa", "usa", "market 'usa' must be two capital letters"),
    ('base_url: "https://east.example/v1", ', "", "east", "base_url is missing"),
    ("https://east.example/v1", "east.example", "east.example", "base_url 'east.example' must be like https://host/v1"),
    ("key_env: EAST_KEY", "key_env: sk-1234", "sk-1234", "never the key itself"),
    ("kind: llama_cpp,", "kind: llama_cpp, base_url: 'http://x/v1',", "llama_cpp", "base_url is for kind openai"),
    ("{id: openai, name", "{id: own, name", "{id: own", "own stands for the operator itself"),
    ("id: acme, ", "id: 'a c m e', ", "a c m e", "may have letters, digits and"),
]


@pytest.mark.parametrize(("old", "new", "where", "message"), ONE_FAULT, ids=[case[3][:40] for case in ONE_FAULT])
def test_a_fault_is_named_with_its_line(old: str, new: str, where: str, message: str) -> None:
    text = changed(old, new)
    line = line_of(where, text)
    assert any(f"world.yaml:{line}: " in fault and message in fault for fault in faults_of(text)), faults_of(text)


def test_an_empty_section_declares_nothing_and_is_let_pass() -> None:
    assert world(SMALL + "agreements: []\nexchange_rates:\nprincipals:\n") == world()


def test_all_faults_are_named_at_once_in_the_order_of_the_file() -> None:
    text = changed(
        "partner: openai", "partner: x1", changed('"30"', '"free"', changed("market: US", "market: nowhere"))
    )
    lines = [int(fault.split(":")[1]) for fault in faults_of(text)]
    assert lines == sorted(lines)
    assert len(lines) == 3


def test_a_key_twice_and_an_id_twice() -> None:
    assert "customer acme has name twice, first in line 20" in faults_of(changed("name: Acme,", "name: A, name: B,"))[0]
    twice = changed("customers:\n", "customers:\n  - {id: acme, name: First}\n")
    assert faults_of(twice) == ["world.yaml:21: customer acme: declared a second time, first at world.yaml:20"]


def test_the_same_id_in_two_files_names_both_places() -> None:
    assert faults_of(SMALL, "customers:\n  - {id: acme, name: Again}\n") == [
        "more.yaml:2: customer acme: declared a second time, first at world.yaml:20"
    ]


def test_a_deployment_name_is_unique_in_its_project_only() -> None:
    text = changed("deployments:\n", "  - {id: other, customer: acme}\ndeployments:\n")
    text = changed("deployments:\n", "deployments:\n  - {id: chat, project: other, model: gpt-4}\n", text)
    assert len(world(text).deployments) == 3
    assert "declared a second time" in faults_of(text.replace("project: other,", "project: search,"))[0]


def test_contracts_of_a_customer_may_not_overlap() -> None:
    explicit = changed(
        "    price_book: list\n",
        "    effective_to: 2024-08-01\n    price_book: list\n"
        "  - {customer: acme, effective_from: 2024-07-01, price_book: list}\n",
    )
    assert faults_of(explicit) == [
        (
            "world.yaml:26: contract of acme: begins before the contract at world.yaml:22 ends; "
            "move effective_from or effective_to"
        )
    ]
    same = changed("projects:\n", "  - {customer: acme, effective_from: 2024-01-01, price_book: list}\nprojects:\n")
    assert "declared a second time, first at world.yaml:22" in faults_of(same)[0]
    backwards = changed("    price_book: list\n", "    effective_to: 2023-01-01\n    price_book: list\n")
    assert "world.yaml:24: contract of acme: effective_to must be later" in faults_of(backwards)[0]


def test_versions_of_a_book_may_not_begin_together_nor_name_a_price_twice() -> None:
    again = "      - {effective_from: 2024-01-01T00:00:00Z, prices: []}\n"
    assert "declared a second time" in faults_of(changed("customers:\n", again + "customers:\n"))[0]
    twice = '          - {model: gpt-4, meter: input_tokens, per_million: "31"}\n'
    assert "world.yaml:19: price of input_tokens of gpt-4: declared a second time, first at world.yaml:15" in faults_of(
        changed("customers:\n", twice + "customers:\n")
    )


def test_a_price_is_per_million_or_each_and_not_both() -> None:
    both = changed('per_million: "30"', 'per_million: "30", each: "1"')
    assert faults_of(both) == [
        "world.yaml:15: price of input_tokens of gpt-4: a price needs one of per_million, each, tiers, package, not 2"
    ]


def test_what_is_sold_must_have_a_price() -> None:
    text = changed('          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n', "")
    assert faults_of(text) == [
        (
            "world.yaml:27: deployment chat: model gpt-4 has no price for output_tokens in version list@2024-01-01 "
            "(contract acme@2024-01-01), so its usage could not be priced"
        )
    ]


def test_a_customer_who_can_use_something_must_have_a_contract() -> None:
    at, end = SMALL.index("contracts:"), SMALL.index("projects:")
    (first, second) = faults_of(SMALL[:at] + SMALL[end:])
    assert first == "world.yaml:24: deployment chat: customer acme has no contract, so its usage could not be priced"
    assert second.startswith("world.yaml:25: deployment small: ")


def test_a_book_has_one_currency() -> None:
    other = "  - customer: acme\n    effective_from: 2024-07-01\n    price_book: list\n    currency: EUR\nprojects:\n"
    assert faults_of(changed("projects:\n", other)) == [
        (
            "world.yaml:28: contract of acme: price book list is in USD (by world.yaml:22) and this contract in EUR; "
            "declare the currency of the book, and a rate to convert by"
        )
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "world.yaml:1: a world file has sections"),
        ("- a\n- b\n", "world.yaml:1: a world file has sections"),
        ("operator: {name: X, currency: USD\npartners: []\n", "world.yaml:2: not YAML: "),
        ("operator:\n\tname: X\n", "world.yaml:2: not YAML: "),
        ("a: 1\n--- \nb: 2\n", "world.yaml:2: not YAML: "),
        ("partners: []\n", "world.yaml:1: the world: operator is missing"),
        (
            "operator: {name: X, currency: USD}\npartners: 5\n",
            "world.yaml:2: the world: partners must be a list, not the",
        ),
        ("operator: {name: X, currency: USD}\npartners: [5]\n", "world.yaml:2: partner must be keys with values, not"),
        ("operator: Contoso\n", "world.yaml:1: operator must be keys with values"),
        ("operator: {name: \x07, currency: USD}\n", "world.yaml:1: not YAML: "),
    ],
)
def test_what_is_no_world_file_is_said_in_one_line(text: str, fault: str) -> None:
    (said,) = faults_of(text)
    assert said.startswith(fault), said


def test_two_operators_are_one_too_many() -> None:
    assert faults_of(SMALL, "operator: {name: Other, currency: USD}\n") == [
        "more.yaml:1: operator: declared a second time, first at world.yaml:1"
    ]
