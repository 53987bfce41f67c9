"""Requests for text: chat and plain completions, read into what is to be generated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from entrepot.core.errors import ContextLengthExceeded, InvalidRequest, UnsupportedValue
from entrepot.ports.model_engine import PromptPart
from entrepot.serving import json_schemas
from entrepot.serving.fields import Fields, body_of
from entrepot.serving.model_cards import ModelCard, check_name
from entrepot.serving.prompts import chat_prompt, read_messages, said_last
from entrepot.serving.sampling_fields import CHOICES_MAX, Wishes, read_wishes
from entrepot.serving.tool_calls import OPENING, call_schema, instructions, offered, read_tools

OUTPUT_TOKENS_MAX = 1_000_000
TOP_LOGPROBS_MAX = 20
LEGACY_LOGPROBS_MAX = 5
LEGACY_OUTPUT_TOKENS = 16  # OpenAI's default of `max_tokens` for completions

# A prompt comes as parts to be read by the model's tokenizer, or as token ids already.
Prompt = tuple[PromptPart, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A checked request. prompts: one for chat. calls_tool: the answer is a call. echo: prompt texts to repeat first.

    prompt_param, schema_param: where the request gives the prompt and the schema of sampling.json_schema.
    """

    prompts: tuple[Prompt, ...]
    wishes: Wishes
    prompt_param: str
    calls_tool: bool = False
    echo: tuple[str, ...] = ()
    schema_param: str = ""


def read_chat(raw: bytes, card: ModelCard, vocabulary_size: int) -> TextRequest:
    """A body of `POST /v1/chat/completions`. Raises: InvalidRequest, UnsupportedValue, DeploymentNotFound."""
    fields = Fields(body_of(raw))
    check_name(card, fields.required("model", fields.text("model")))
    messages = read_messages(fields)
    limits = [fields.whole(name, 1, OUTPUT_TOKENS_MAX) for name in ("max_completion_tokens", "max_tokens")]
    wishes = read_wishes(fields, card, vocabulary_size, limits[0] or limits[1])
    tools = offered(read_tools(fields), said_last(messages))
    schema, schema_param = _response_format(fields)
    if tools:  # A format is for words; a call has its own.
        schema, schema_param = call_schema(tools), "tools"
    _refuse_other_media(fields)
    sampling = replace(wishes.sampling, json_schema=schema, top_logprobs=_chat_logprobs(fields))
    fields.finish()
    prompt = chat_prompt(
        messages,
        system_prompt=card.system_prompt,
        instructions=instructions(tools) if tools else "",
        opening=OPENING if tools else "",
    )
    return TextRequest(
        (prompt,), replace(wishes, sampling=sampling), "messages", bool(tools), schema_param=schema_param
    )


def read_completion(raw: bytes, card: ModelCard, vocabulary_size: int) -> TextRequest:
    """A body of `POST /v1/completions`. Raises: InvalidRequest, UnsupportedValue, DeploymentNotFound."""
    fields = Fields(body_of(raw))
    check_name(card, fields.required("model", fields.text("model")))
    prompts = _prompts(fields.required("prompt", fields.any("prompt")), vocabulary_size)
    limit = fields.whole("max_tokens", 1, OUTPUT_TOKENS_MAX)
    wishes = read_wishes(fields, card, vocabulary_size, LEGACY_OUTPUT_TOKENS if limit is None else limit)
    if len(prompts) * wishes.choices > CHOICES_MAX:
        raise UnsupportedValue(f"Prompts times 'n' may be up to {CHOICES_MAX}.", param="prompt")
    fields.refuse_unless("best_of", wishes.choices, why="it must equal 'n'.")
    fields.refuse_unless("suffix", "", why="this model does not insert.")
    top = fields.whole("logprobs", 0, LEGACY_LOGPROBS_MAX)
    echo = _echo(fields, prompts, logprobs=top is not None)
    fields.finish()
    wishes = replace(wishes, sampling=replace(wishes.sampling, top_logprobs=top))
    return TextRequest(prompts, wishes, "prompt", echo=echo)


def refuse_too_long(request: TextRequest, card: ModelCard, token_bytes_max: int) -> None:
    """Refuses what is too long however it is read, for reading megabytes takes seconds. Raises: ContextLengthExceeded.

    token_bytes_max: the longest text that is one token.
    """
    for prompt in request.prompts:
        _check_room(request, sum(_tokens_min(part, token_bytes_max) for part in prompt), card, about="at least ")


def output_room(request: TextRequest, prompt_tokens: Sequence[int], card: ModelCard) -> tuple[int, ...]:
    """For each prompt, by its length, the tokens its answer may have. Raises: ContextLengthExceeded."""
    for length in prompt_tokens:
        _check_room(request, length, card)
    wanted = request.wishes.sampling.output_tokens_max
    return tuple(wanted or card.context_tokens - length for length in prompt_tokens)


def _tokens_min(part: PromptPart | int, token_bytes_max: int) -> int:
    if isinstance(part, int) or part.marker:
        return 1
    return -(-len(part.text.encode()) // token_bytes_max)


def _check_room(request: TextRequest, length: int, card: ModelCard, about: str = "") -> None:
    wanted = request.wishes.sampling.output_tokens_max or 1
    if length + wanted > card.context_tokens:
        raise ContextLengthExceeded(
            f"This model's maximum context length is {card.context_tokens} tokens. However, you requested "
            f"{about}{length + wanted} tokens ({about}{length} in the prompt, {wanted} in the completion). "
            "Please reduce the length of either one.",
            param=request.prompt_param,
        )


def _response_format(fields: Fields) -> tuple[str | None, str]:
    wanted = fields.nested("response_format")
    if wanted is None:
        return None, ""
    kind = wanted.required("type", wanted.text("type"))
    if kind == "json_schema":
        given = wanted.required("json_schema", wanted.nested("json_schema"))
        wanted.finish()
        given.required("name", given.text("name"))
        given.text("description")
        given.flag("strict")  # The answer is held to the schema either way.
        schema = given.required("schema", given.any("schema"))
        given.finish()
        return json_schemas.to_follow(json_schemas.checked(schema, given.name("schema"))), given.name("schema")
    wanted.finish()
    if kind == "json_object":
        return json_schemas.any_object(), "response_format"
    if kind == "text":
        return None, ""
    raise UnsupportedValue(
        "'response_format.type' must be text, json_object or json_schema.", param="response_format.type"
    )


def _chat_logprobs(fields: Fields) -> int | None:
    wanted = fields.flag("logprobs")
    top = fields.whole("top_logprobs", 0, TOP_LOGPROBS_MAX)
    if top is not None and not wanted:
        raise InvalidRequest("'top_logprobs' needs 'logprobs': true.", param="top_logprobs")
    return (top or 0) if wanted else None


def _refuse_other_media(fields: Fields) -> None:
    fields.refuse_unless("modalities", ["text"], why="this model takes and gives text only.")
    fields.refuse_unless("store", False, why="nothing is stored here.")
    fields.refuse_unless("functions", [], why="it is replaced by 'tools'.")
    fields.refuse_unless("function_call", "none", why="it is replaced by 'tool_choice'.")


def _prompts(value: object, vocabulary_size: int) -> tuple[Prompt, ...]:
    several = value if isinstance(value, list) and not _is_tokens(value) else [value]
    if not several:
        raise InvalidRequest("'prompt' must not be empty.", param="prompt")
    return tuple(_prompt(item, vocabulary_size) for item in several)


def _prompt(value: object, vocabulary_size: int) -> Prompt:
    if isinstance(value, str) and value:
        return (PromptPart(value),)
    if isinstance(value, list) and value and _is_tokens(value):
        if not all(0 <= token < vocabulary_size for token in value):
            raise InvalidRequest(f"'prompt': token ids are 0 to {vocabulary_size - 1}.", param="prompt")
        return tuple(value)
    raise InvalidRequest(
        "'prompt' must be a string, a list of token ids, or a list of either, none empty.", param="prompt"
    )


def _is_tokens(value: list[object]) -> bool:
    return bool(value) and all(isinstance(item, int) and not isinstance(item, bool) for item in value)


def _echo(fields: Fields, prompts: tuple[Prompt, ...], *, logprobs: bool) -> tuple[str, ...]:
    if not fields.flag("echo"):
        return ()
    if logprobs:
        raise UnsupportedValue("'echo' with 'logprobs' is not supported: prompts get no probabilities.", param="echo")
    texts = [part.text for prompt in prompts for part in prompt if isinstance(part, PromptPart)]
    if len(texts) != len(prompts):
        raise UnsupportedValue("'echo' needs prompts given as text.", param="echo")
    return tuple(texts)
