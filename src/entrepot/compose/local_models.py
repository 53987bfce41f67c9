"""Which models run inside this machine, and where they listen: kept in one small file while they run."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from entrepot.compose.settings import Settings
from entrepot.core.world import World
from entrepot.provisioning.publish import local_models
from entrepot.serving.model_cards import CARDS

_RUNNABLE = {
    "llama_cpp": tuple(card.id for card in CARDS.values() if card.kind == "text"),
    "onnx_embeddings": tuple(card.id for card in CARDS.values() if card.kind == "embedding"),
}


class LocalModel(msgspec.Struct, frozen=True, order=True):
    """A model that a process of this machine serves. name: the engine's word for it; base_url "" until it is ready."""

    upstream: str
    model: str
    kind: str
    name: str
    base_url: str = ""


def can_run(kind: str, name: str) -> bool:
    """Whether this machine can run a model of this name in an upstream of this kind."""
    return name in _RUNNABLE.get(kind, ())


def not_runnable(world: World) -> Iterator[str]:
    """A sentence for each model that an upstream inside this machine should serve and cannot."""
    for (upstream, model), (kind, name) in local_models(world).items():
        if not can_run(kind, name):
            known = ", ".join(_RUNNABLE[kind])
            yield (
                f"upstream {upstream}: {kind} inside this machine runs {known}, not {name}; "
                f"to sell {known} as {model} write models: {{{model}: {known}}}"
            )


def read_models(settings: Settings) -> list[LocalModel]:
    """The models that run now; none when nothing runs."""
    try:
        payload = _path(settings).read_bytes()
        return msgspec.json.decode(payload, type=list[LocalModel])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def write_models(settings: Settings, models: list[LocalModel]) -> None:
    """Replaces the list; a reader finds the old or the new one."""
    path = _path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(sorted(models)))
    fresh.replace(path)


def addresses(settings: Settings) -> dict[tuple[str, str], str]:
    """{(upstream, model): base URL} of the models that are ready."""
    return {(item.upstream, item.model): item.base_url for item in read_models(settings) if item.base_url}


def base_urls(settings: Settings, upstream: str) -> list[str]:
    """The base URLs of the processes that serve an upstream."""
    return [url for (name, _), url in sorted(addresses(settings).items()) if name == upstream]


def _path(settings: Settings) -> Path:
    return settings.run_directory / "models.json"
