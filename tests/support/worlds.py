"""A small world for tests: everything a provider must declare to sell one model to one customer."""

import pytest

from entrepot.core.errors import WorldRejected
from entrepot.core.world import World
from entrepot.provisioning.world_file import read_world

SMALL = """\
operator: {name: Meridian Cloud, currency: USD}
partners:
  - {id: openai, name: OpenAI}
models:
  - {id: gpt-4, version: "0613", partner: openai, context_tokens: 8192, stage: general}
  - {id: smollm2-135m, partner: own, context_tokens: 2048}
upstreams:
  - {id: local, kind: llama_cpp, models: [smollm2-135m]}
  - {id: east, kind: openai, base_url: "https://east.example/v1", key_env: EAST_KEY, models: [gpt-4]}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: gpt-4, meter: input_tokens, per_million: "30"}
          - {model: gpt-4, meter: output_tokens, per_million: "60"}
          - {model: smollm2-135m, meter: input_tokens, per_million: "0.10"}
          - {model: smollm2-135m, meter: output_tokens, per_million: "0.20"}
customers:
  - {id: acme, name: Acme, parent: acme-group, market: US, since: 2023-06-01}
contracts:
  - customer: acme
    effective_from: 2024-01-01
    price_book: list
projects:
  - {id: search, customer: acme}
deployments:
  - {id: chat, project: search, model: gpt-4, tokens_per_minute: 240000}
  - {id: small, project: search, model: smollm2-135m}
"""


def small_world(**replaced: str) -> World:
    """SMALL as a world, with texts replaced: small_world(**{"per_million: \\"30\\"": ...})."""
    text = SMALL
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    return read_world([("world.yaml", text)])


def changed(old: str, new: str, text: str = SMALL) -> str:
    """The text with what stands in it once replaced."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)


def faults_of(*texts: str) -> list[str]:
    """What is said of a world of one or two files that is rejected."""
    names = ["world.yaml", "more.yaml"]
    with pytest.raises(WorldRejected) as caught:
        read_world(list(zip(names, texts, strict=False)))
    return caught.value.message.splitlines()
