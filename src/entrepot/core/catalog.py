"""The catalog: partners, the models they own, and the upstreams that serve them."""

from typing import Literal

import msgspec

from entrepot.core.lifecycle import Access, Stage, StageFrom, Successor
from entrepot.core.partner_usage import PartnerCharges
from entrepot.core.provisioned import SizingRule
from entrepot.core.quotas import RequestRatio
from entrepot.core.service_tiers import ServiceTiers
from entrepot.core.upstream_rules import PoolRules, UpstreamRules

Operation = Literal[
    "chat",
    "completions",
    "embeddings",
    "responses",
    "images",
    "image_edits",
    "image_variations",
    "speech",
    "transcriptions",
    "translations",
    "moderations",
    "rerank",
    "realtime",
]
UpstreamKind = Literal["llama_cpp", "onnx_embeddings", "openai"]


# What an operation is counted in: one set or the other, as its upstream reports it. A model needs a price for each
# meter of at least one set, else its usage could not be booked.
COUNTED_IN: dict[Operation, tuple[tuple[str, ...], ...]] = {
    "chat": (("input_tokens", "output_tokens"),),
    "completions": (("input_tokens", "output_tokens"),),
    "embeddings": (("input_tokens",),),
    "responses": (("input_tokens", "output_tokens"),),
    "images": (("images",), ("input_tokens", "image_output_tokens")),
    "image_edits": (("images",), ("input_tokens", "image_input_tokens", "image_output_tokens")),
    "image_variations": (("images",),),
    "speech": (("characters",),),  # A plain answer is sound alone; tokens are told by streams only.
    "transcriptions": (("audio_seconds",), ("audio_input_tokens", "output_tokens")),
    "translations": (("audio_seconds",),),
    "moderations": (("requests",), ("input_tokens",)),
    "rerank": (("input_tokens",), ("search_units",)),
    "realtime": (("input_tokens", "output_tokens", "audio_input_tokens", "audio_output_tokens"),),
}


class Partner(msgspec.Struct, frozen=True):
    """The company that owns a model and with whom the operator settles. charges: how its own files are read."""

    id: str
    name: str
    charges: PartnerCharges | None = None


class Model(msgspec.Struct, frozen=True):
    """A catalog entry. context_tokens bounds prompt and answer together; operations are what it can be asked.

    provisioned: how its provisioned deployments are sized (core.provisioned.sizing_at). compatible: other models whose
    deployments may answer what a provisioned one of this model spills. quota: None for what holds for its name.
    tokenizer: that its prompts are counted with, or "". stage: until the first of stages, by time.
    access: who may use it before it is for all. successor: what takes its place, see core.upgrades.
    service_tiers: that it is offered at beside the default one.
    """

    id: str
    version: str
    partner: str
    context_tokens: int
    stage: Stage
    operations: tuple[Operation, ...] = ("chat", "completions")
    routing: PoolRules = PoolRules()
    provisioned: tuple[SizingRule, ...] = ()
    compatible: tuple[str, ...] = ()
    quota: RequestRatio | None = None
    tokenizer: str = ""
    stages: tuple[StageFrom, ...] = ()
    access: tuple[Access, ...] = ()
    successor: Successor | None = None
    service_tiers: ServiceTiers | None = None


class Upstream(msgspec.Struct, frozen=True):
    """A technical endpoint serving models.

    base_url includes the version path (…/v1) and is empty for kinds that run inside this machine.
    key_env names the environment variable of the gateway that holds the key, key_file a file that does. models maps
    our model id to the upstream's own name for it, weights to its share of requests where that is not 1; with 0 it
    serves when no other can. usage_lookup: whether GET {base_url}/usage/{request id} tells what was served.
    """

    id: str
    kind: UpstreamKind
    models: dict[str, str]
    base_url: str = ""
    key_env: str = ""
    usage_lookup: bool = False
    key_file: str = ""
    weights: dict[str, int] = {}
    rules: UpstreamRules = UpstreamRules()

    @property
    def key(self) -> str:
        """Where the key is: see core.snapshot.Target."""
        return self.key_file or self.key_env
