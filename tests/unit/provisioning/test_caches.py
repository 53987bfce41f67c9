"""A deployment's cache in a world file: what is read, what is refused in which line, what gateways get to see."""

import pytest

from entrepot.core.snapshot import ServedDeployment
from entrepot.core.tenancy import AnswerCaching
from entrepot.core.world import decode_world, encode_world
from entrepot.provisioning.changes import differences
from entrepot.provisioning.publish import compile_snapshot
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of
from tests.unit.provisioning.test_world_file import line_of, world

PRICED = changed(
    '          - {model: smollm2-135m, meter: input_tokens, per_million: "0.10"}\n',
    '          - {model: gpt-4, meter: input_tokens, tier: cached, per_million: "3"}\n'
    '          - {model: gpt-4, meter: output_tokens, tier: cached, per_million: "0"}\n'
    '          - {model: smollm2-135m, meter: input_tokens, per_million: "0.10"}\n',
)


def with_cache(cache: str, text: str = PRICED) -> str:
    return changed("model: gpt-4, tokens_per_minute: 240000}", f"model: gpt-4, cache: {cache}}}", text)


def test_a_cache_is_read_with_its_defaults() -> None:
    read = world(with_cache("{ttl: 10m}"))
    assert read.deployments[0].cache == AnswerCaching(600, "memory", "repeatable", 2**20)
    assert read.deployments[1].cache is None
    assert decode_world(encode_world(read)) == read


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1m", 60), ("2h", 7_200), ("30d", 2_592_000)])
def test_how_long(text: str, seconds: int) -> None:
    read = world(with_cache(f"{{ttl: {text}, store: valkey, requests: all, max_bytes: 5000}}"))
    assert read.deployments[0].cache == AnswerCaching(seconds, "valkey", "all", 5000)


@pytest.mark.parametrize(
    ("cache", "fault"),
    [
        ("{}", "cache: ttl is missing"),
        ("{ttl: 10}", "cache: ttl must be like 30s, 10m, 2h or 7d, and at most 30d"),
        ("{ttl: 0s}", "cache: ttl must be like 30s, 10m, 2h or 7d, and at most 30d"),
        ("{ttl: 31d}", "cache: ttl must be like 30s, 10m, 2h or 7d, and at most 30d"),
        ("{ttl: 1m, store: redis}", "cache: store 'redis' is not one of memory, valkey"),
        ("{ttl: 1m, requests: some}", "cache: requests 'some' is not one of repeatable, all"),
        ("{ttl: 1m, max_bytes: 0}", "cache: max_bytes must be a whole number of at least 1, not '0'"),
        ("{ttl: 1m, max_bytes: 99999999}", "cache: max_bytes must be at most 16777216"),
        ("{ttl: 1m, tll: 2}", "cache has an unknown key 'tll'; did you mean 'ttl'?"),
        ("yes", "cache must be keys with values, not the single value 'yes'"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(cache: str, fault: str) -> None:
    text = with_cache(cache)
    assert faults_of(text) == [f"world.yaml:{line_of('cache: {' if '{' in cache else 'cache: yes', text)}: {fault}"]


def test_a_cache_needs_a_price_for_all_that_has_one() -> None:
    text = with_cache("{ttl: 1m}", SMALL)
    place = f"world.yaml:{line_of('cache: ', text)}: deployment chat: answers of model gpt-4 are cached, and version"
    rest = 'at tier cached; declare it, at "0" if an answer from the cache is meant to be free'
    assert faults_of(text) == [
        f"{place} list@2024-01-01 has no price for {meter} {rest}" for meter in ("input_tokens", "output_tokens")
    ]
    reasoning = changed(
        '{model: gpt-4, meter: output_tokens, per_million: "60"}',
        '{model: gpt-4, meter: output_tokens, per_million: "60"}\n'
        '          - {model: gpt-4, meter: images, each: "1"}\n'
        '          - {model: gpt-4, meter: reasoning_tokens, per_million: "61"}',
        with_cache("{ttl: 1m}"),
    )
    [fault] = faults_of(reasoning)  # Reasoning is priced as the output it is a part of; images are a part of nothing.
    assert "has no price for images at tier cached" in fault


def served(text: str) -> ServedDeployment:
    compiled = compile_snapshot(read_world([("w", text)]), (), {}, version=1, at=0)
    return compiled.projects["search"].deployments["chat"]


def test_a_gateway_sees_it_with_what_answers() -> None:
    deployment = served(with_cache("{ttl: 1m}"))
    assert deployment.cache == AnswerCaching(60)
    assert deployment.revision == "gpt-4@0613 east=gpt-4"
    assert deployment.offers("cached", 1_750_000_000_000_000)
    assert served(with_cache("{ttl: 1m}", changed('"0613"', '"1106"', PRICED))).revision == "gpt-4@1106 east=gpt-4"


def test_a_change_of_it_is_shown() -> None:
    [difference] = differences(world(PRICED), world(with_cache("{ttl: 1m}", PRICED)))
    assert difference.details == (
        "tokens_per_minute: 240000 → 0",
        "cache: none → 60 s, store memory, repeatable requests, at most 1048576 bytes",
    )
