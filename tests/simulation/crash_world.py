"""The world that crash runs serve: an upstream for each rule about usage, and something of each kind to ask for.

    upstream   is at   serves                   is asked afterwards   a client that leaves
    own        0       sim-chat, -embeddings    yes                   cancels its answer
    east       0       sim-pair                 yes                   is heard out
    west       1       sim-pair                 yes                   cancels its answer
    plain      0       sim-plain, sim-media     no                    is heard out
    free       0       sim-free                 yes                   pays nothing
    talks      2       sim-talk                 no                    is heard out

0 and 1 are processes of tests.scripted_upstream, 2 is a realtime upstream.
"""

from collections.abc import Iterator, Sequence

PLACES = {"own": 0, "east": 0, "plain": 0, "free": 0, "west": 1, "talks": 2}
ASKED_AFTERWARDS = frozenset({"own", "east", "west", "free"})
UNBILLED = frozenset({"free"})
BUDGET = "customer/acme/total/money"
BUDGET_DOLLARS = 1_000_000  # Never in the way, and taken from by each request.

_TEXT = ("sim-chat", "sim-pair", "sim-plain", "sim-free")
_MEDIA = (
    *("input_tokens", "image_input_tokens", "image_output_tokens", "images", "characters", "audio_output_tokens"),
    *("audio_seconds", "audio_input_tokens", "output_tokens", "requests"),
)
_TALK = ("input_tokens", "audio_input_tokens", "output_tokens", "audio_output_tokens")

_WORLD = """\
operator: {{name: Crash Cloud, currency: USD}}
models:
  - {{id: sim-chat, version: "1", partner: own, context_tokens: 8192, operations: [chat, completions, responses]}}
  - {{id: sim-pair, version: "1", partner: own, context_tokens: 8192, operations: [chat, completions, responses],
     routing: {{sticky: none, hedge_after_ms: 30, retry_percent: 100}}}}
  - {{id: sim-plain, version: "1", partner: own, context_tokens: 8192, operations: [chat, completions, responses]}}
  - {{id: sim-free, version: "1", partner: own, context_tokens: 8192, operations: [chat, completions, responses]}}
  - {{id: sim-embeddings, version: "1", partner: own, context_tokens: 8192, operations: [embeddings]}}
  - {{id: sim-media, version: "1", partner: own, context_tokens: 8192,
     operations: [images, speech, transcriptions, moderations, rerank]}}
  - {{id: sim-talk, version: "1", partner: own, context_tokens: 8192, operations: [realtime]}}
upstreams:
  - {{id: own, kind: openai, base_url: "{one}", usage_lookup: true, models: [sim-chat, sim-embeddings]}}
  - {{id: east, kind: openai, base_url: "{one}", usage_lookup: true, on_client_abort: drain,
     models: {{sim-pair: pair-east}}}}
  - {{id: west, kind: openai, base_url: "{two}", usage_lookup: true, models: {{sim-pair: pair-west}}}}
  - {{id: plain, kind: openai, base_url: "{one}", models: [sim-plain, sim-media]}}
  - {{id: free, kind: openai, base_url: "{one}", usage_lookup: true, on_client_abort: no_bill, models: [sim-free]}}
  - {{id: talks, kind: openai, base_url: "{talks}", models: [sim-talk]}}
customers:
  - {{id: acme, name: Acme, budget: {{total: "{budget}", mode: hard}}}}
contracts:
  - {{customer: acme, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}}
projects:
  - {{id: search, customer: acme}}
price_books:
  - id: list
    versions:
{versions}
deployments:
  - {{id: chat, project: search, model: sim-chat, tokens_per_minute: 90000000}}
  - {{id: again, project: search, model: sim-chat, cache: {{ttl: 10m, requests: all}}}}
  - {{id: embeddings, project: search, model: sim-embeddings}}
  - {{id: pair, project: search, model: sim-pair}}
  - {{id: plain, project: search, model: sim-plain}}
  - {{id: free, project: search, model: sim-free}}
  - {{id: media, project: search, model: sim-media}}
  - {{id: talk, project: search, model: sim-talk}}
{more}
"""


def world_text(base_urls: Sequence[str], prices_change_at: str = "") -> str:
    """The world file. base_urls: by place. prices_change_at: RFC 3339; with it there is a deployment `late`, too."""
    more = "  - {id: late, project: search, model: sim-chat}" if prices_change_at else ""
    versions = "".join(_version("2024-01-01", 30))
    if prices_change_at:
        versions += "".join(_version(prices_change_at, 45))
    one, two, talks = base_urls
    return _WORLD.format(one=one, two=two, talks=talks, budget=BUDGET_DOLLARS, versions=versions, more=more)


def _version(effective_from: str, dollars: int) -> Iterator[str]:
    yield f'      - effective_from: "{effective_from}"\n        prices:\n'
    for model in _TEXT:
        for tier in ("default", "batch", "cached"):
            yield _price(model, "input_tokens", tier, dollars)
            yield _price(model, "output_tokens", tier, 2 * dollars)
    yield _price("sim-embeddings", "input_tokens", "default", 1)
    yield _price("sim-embeddings", "input_tokens", "batch", 1)
    for meter in _MEDIA:
        yield _price("sim-media", meter, "default", dollars)
    for meter in _TALK:
        yield _price("sim-talk", meter, "default", dollars)


def _price(model: str, meter: str, tier: str, dollars: int) -> str:
    return f'          - {{model: {model}, meter: {meter}, tier: {tier}, per_million: "{dollars}"}}\n'
