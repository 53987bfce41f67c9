"""The fields that chat and plain completions have in common."""

from dataclasses import dataclass

from entrepot.core.errors import InvalidRequest
from entrepot.ports.model_engine import Sampling
from entrepot.serving.fields import Fields
from entrepot.serving.model_cards import ModelCard

# Each choice is a generation of its own here, prompt included, so a request may not ask for as many as it likes.
CHOICES_MAX = 16
STOPS_MAX = 4

# They say who asks or how to account for it, and change no answer of ours.
ABOUT_THE_CALLER = (
    "user",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "service_tier",
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller asked about the answer. sampling.output_tokens_max is 0 where no limit was given."""

    choices: int
    streamed: bool
    usage_in_stream: bool
    sampling: Sampling


def read_wishes(fields: Fields, card: ModelCard, vocabulary_size: int, output_tokens_max: int | None) -> Wishes:
    """The common fields, checked. Raises: InvalidRequest, UnsupportedValue."""
    fields.ignore(*ABOUT_THE_CALLER)
    temperature = fields.number("temperature", 0, 2)
    top_p = fields.number("top_p", 0, 1)
    chosen = temperature is not None or top_p is not None
    streamed = fields.flag("stream")
    return Wishes(
        choices=fields.whole("n", 1, CHOICES_MAX) or 1,
        streamed=streamed,
        usage_in_stream=_usage_in_stream(fields, streamed),
        sampling=Sampling(
            output_tokens_max=output_tokens_max or 0,
            temperature=_or(temperature, 1.0 if chosen else card.temperature),
            top_p=_or(top_p, 1.0 if chosen else card.top_p),
            top_k=0 if chosen else card.top_k,
            seed=fields.whole("seed", -(2**63), 2**63 - 1),
            stop=_stops(fields),
            frequency_penalty=_or(fields.number("frequency_penalty", -2, 2), 0.0),
            presence_penalty=_or(fields.number("presence_penalty", -2, 2), 0.0),
            logit_bias=_logit_bias(fields, vocabulary_size),
            ignore_end=fields.flag("ignore_eos"),
        ),
    )


def _usage_in_stream(fields: Fields, streamed: bool) -> bool:
    options = fields.nested("stream_options")
    if options is None:
        return False
    if not streamed:
        raise InvalidRequest("'stream_options' needs 'stream': true.", param="stream_options")
    options.ignore("include_obfuscation")
    wanted = options.flag("include_usage")
    options.finish()
    return wanted


def _stops(fields: Fields) -> tuple[str, ...]:
    value = fields.any("stop")
    stops = [value] if isinstance(value, str) else [] if value is None else value
    if (
        not isinstance(stops, list)
        or len(stops) > STOPS_MAX
        or not all(isinstance(stop, str) and stop for stop in stops)
    ):
        raise InvalidRequest(f"'stop' must be a string or up to {STOPS_MAX} strings, none empty.", param="stop")
    return tuple(stops)


def _logit_bias(fields: Fields, vocabulary_size: int) -> tuple[tuple[int, float], ...]:
    bias = fields.any("logit_bias")
    if bias is None:
        return ()
    if not isinstance(bias, dict):
        raise InvalidRequest("'logit_bias' must be an object of token id to number.", param="logit_bias")
    read = Fields(bias, "logit_bias")
    for token in bias:
        if not (token.isascii() and token.isdigit() and int(token) < vocabulary_size):
            raise InvalidRequest(f"'logit_bias': {token!r} is not a token id of this model.", param="logit_bias")
    return tuple((int(token), _or(read.number(token, -100, 100), 0.0)) for token in bias)


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value
