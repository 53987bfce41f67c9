"""llama.cpp in this process, through xllamacpp: one model, several slots batched together.

What was found out about the pinned version, and is held by tests:
- each running generation blocks a thread of ours with the GIL released; a callback that returns True ends it;
- its own queue cannot be cancelled, so no more generations are handed to it than it has slots and the rest wait
  here;
- a prompt is read in slices of the batch size, and only between slices can it be stopped or do others go on: keep
  them small;
- a schema that it cannot compile is ignored silently, so `can_follow` tries each once;
- it always listens somewhere: on a socket file in a folder of ours, unlinked once it is loaded;
- every failure to load is the same RuntimeError, so what can be known before is checked before;
- its prompt cache is left off: what one caller sent would show in the speed and the cached tokens of another's
  answer.
"""

import asyncio
import contextlib
import platform
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import tokenizers
import xllamacpp  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from entrepot.core.errors import BadInput, EntrepotError, UpstreamUnavailable
from entrepot.ports.model_engine import Ending, Generation, Piece, PromptPart, Sampling, TokenChance, TokenChoice, Work

PROMPT_SLICE_TOKENS = 128
SCHEMAS_REMEMBERED = 256

# How the wheel was built; without these it dies at the first instruction it does not find.
NEEDED_CPU_FLAGS = frozenset({"avx2", "fma", "f16c"})


class LlamaCppEngine:
    """A loaded text model. `close` it when done."""

    def __init__(
        self, model: Path, vocabulary: Path, *, slots: int, context_tokens: int, threads: int, waiting_max: int = 64
    ) -> None:
        """Loads the model. Raises: BadInput with what to do about it."""
        refuse_old_cpu()
        self._tokenizer = _tokenizer(vocabulary)
        self._server = _load(model, slots=slots, context_tokens=context_tokens, threads=threads)
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="llama")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="prompts")
        self._room = slots + waiting_max
        self._open: set[_Run] = set()
        self._schemas: OrderedDict[str, bool] = OrderedDict()
        self._token_bytes_max = max(map(len, self._tokenizer.get_vocab()))  # Written with a letter for each byte.
        # A word no JSON text can begin with, not even after blanks.
        self._foreign = self._tokenizer.encode("harbour", add_special_tokens=False).ids[0]

    @property
    def vocabulary_size(self) -> int:
        """Token ids are 0 up to here, half-open."""
        return self._tokenizer.get_vocab_size()

    @property
    def token_bytes_max(self) -> int:
        """The longest text that is one token, in bytes of UTF-8."""
        return self._token_bytes_max

    async def token_ids(self, parts: Sequence[PromptPart]) -> tuple[int, ...]:
        """The tokens of a prompt. A marker is one token; text never becomes a marker."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, parts)

    def _read(self, parts: Sequence[PromptPart]) -> tuple[int, ...]:
        ids: list[int] = []
        for part in parts:
            if part.marker:
                marker = self._tokenizer.token_to_id(part.text)
                assert marker is not None, part.text
                ids.append(marker)
            else:
                # Of a batch, even of one text, other threads go on meanwhile.
                [text] = self._tokenizer.encode_batch([part.text], add_special_tokens=False)
                ids.extend(text.ids)
        return tuple(ids)

    def start(self, work: Sequence[Work]) -> list[Generation]:
        """Generations on the running event loop. Raises: UpstreamUnavailable, none started, when too many wait."""
        if len(self._open) + len(work) > self._room:
            raise UpstreamUnavailable(f"The model is busy: {len(self._open)} answers are under way.", retry_after_s=1)
        return [self._launched(item) for item in work]

    async def can_follow(self, json_schema: str) -> bool:
        """Whether the runtime compiles the schema; asked once each, at the price of one token."""
        if json_schema not in self._schemas:
            loop = asyncio.get_running_loop()
            self._schemas[json_schema] = await loop.run_in_executor(self._pool, self._try_schema, json_schema)
            if len(self._schemas) > SCHEMAS_REMEMBERED:
                self._schemas.popitem(last=False)
        return self._schemas[json_schema]

    def close(self) -> None:
        """Stops what runs and frees the model."""
        for run in list(self._open):
            run.stop()
        for pool in (self._reader, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)
        del self._server

    def _launched(self, work: Work) -> Generation:
        run = _Run(asyncio.get_running_loop(), len(work.prompt))
        self._open.add(run)
        run.on_end(lambda: self._open.discard(run))
        run.launch(self._pool, self._server, _request(work.prompt, work.sampling))
        return run

    def _try_schema(self, json_schema: str) -> bool:
        """Pushed hard towards a word the schema forbids, a runtime that holds to it writes something else."""
        chunks: list[dict[str, Any]] = []
        request = {
            "prompt": [self._foreign],
            "max_tokens": 1,
            "temperature": 0,
            "json_schema": msgspec.json.decode(json_schema),
            "logit_bias": [[self._foreign, 100]],
            "stream": False,
            "cache_prompt": False,
        }
        self._server.handle_completions(request, chunks.append)
        pushed = self._tokenizer.decode([self._foreign])
        return bool(chunks) and "error" not in chunks[0] and chunks[0]["choices"][0]["text"] != pushed


def refuse_old_cpu(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Nothing on a processor that can run the wheel. Raises: BadInput naming what it lacks."""
    if platform.machine() not in {"x86_64", "AMD64"} or not cpuinfo.exists():
        return
    flags = next((line.split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), None)
    lacking = sorted(NEEDED_CPU_FLAGS.difference(flags)) if flags else []
    if lacking:
        raise BadInput(
            f"This processor lacks {', '.join(lacking)}, which the local model runtime needs. Serve models from "
            "another machine or an upstream, or run on a processor of 2015 or newer."
        )


class _Run:
    """One generation: a thread inside llama.cpp, and the event loop that reads what it makes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, prompt_tokens: int) -> None:
        self._loop = loop
        self._prompt_tokens = prompt_tokens
        self._queue: asyncio.Queue[Piece | None] = asyncio.Queue()
        self._ended: asyncio.Future[Ending] = loop.create_future()
        self._future: Future[None] | None = None
        self._begun = False
        self._stopping = False
        self._tokens = 0
        self._final: Ending | None = None
        self._error: str | None = None

    def launch(self, pool: ThreadPoolExecutor, server: Any, request: dict[str, Any]) -> None:
        """Hands it to a thread, at once or when one is free."""
        self._future = pool.submit(self._work, server, request)

    def on_end(self, then: Any) -> None:
        """Calls then when it has ended."""
        self._ended.add_done_callback(lambda _: then())

    async def pieces(self) -> AsyncIterator[Piece]:
        """What is produced, as it comes."""
        while (piece := await self._queue.get()) is not None:
            yield piece

    async def ended(self) -> Ending:
        """How it ended. Raises: EntrepotError when the runtime failed."""
        return await asyncio.shield(self._ended)

    def stop(self) -> None:
        """Ends it at the next token or prompt slice."""
        self._stopping = True
        if self._future is not None and self._future.cancel():  # It was still waiting for a thread.
            self._settle()

    def _work(self, server: Any, request: dict[str, Any]) -> None:
        try:
            if not self._stopping:
                server.handle_completions(request, self._on_chunk)
        except Exception as error:  # noqa: BLE001  Whatever the runtime raises ends this answer, not the process.
            self._error = f"{type(error).__name__}: {error}"
        with contextlib.suppress(RuntimeError):  # The loop is gone when the process ends.
            self._loop.call_soon_threadsafe(self._settle)

    def _on_chunk(self, chunk: dict[str, Any]) -> bool:
        """Takes one chunk in, on the runtime's thread. True ends the generation; an exception here would be lost."""
        try:
            self._take(chunk)
        except Exception as error:  # noqa: BLE001
            self._error = f"{type(error).__name__}: {error}"
        return self._stopping or self._error is not None

    def _take(self, chunk: dict[str, Any]) -> None:
        if "error" in chunk:
            self._error = str(chunk["error"].get("message", chunk["error"]))
            return
        progress = chunk.get("prompt_progress")
        if progress is not None and not progress["processed"]:
            return
        choice = chunk["choices"][0]
        self._tokens = chunk["timings"]["predicted_n"]
        if not self._begun:
            self._begun = True
            self._push(Piece("", 0))
        if choice["finish_reason"] is not None:
            self._final = self._ending(choice["finish_reason"], chunk["usage"])
        elif progress is None:
            chances = tuple(_choice(item) for item in (choice.get("logprobs") or {}).get("content") or ())
            self._push(Piece(choice["text"], self._tokens, chances))

    def _push(self, piece: Piece | None) -> None:
        self._loop.call_soon_threadsafe(self._queue.put_nowait, piece)

    def _ending(self, reason: str, usage: dict[str, Any]) -> Ending:
        self._tokens = usage["completion_tokens"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return Ending("length" if reason == "length" else "stop", self._prompt_tokens, self._tokens, cached)

    def _settle(self) -> None:
        """Tells the readers, on the event loop."""
        if self._ended.done():
            return
        if self._error is not None:
            self._ended.set_exception(EntrepotError(f"The model runtime failed: {self._error}"))
        else:
            stopped = Ending("cancelled", self._prompt_tokens if self._begun else 0, self._tokens)
            self._ended.set_result(self._final or stopped)
        self._queue.put_nowait(None)


def _load(model: Path, *, slots: int, context_tokens: int, threads: int) -> Any:
    if not model.is_file():
        raise BadInput(f"There is no model file {model}.")
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = slots
    params.n_ctx = slots * context_tokens
    params.kv_unified = False  # Each slot has its own share, whoever else is busy.
    params.n_batch = params.n_ubatch = PROMPT_SLICE_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.ctx_shift = False
    params.cache_ram_mib = 0
    params.n_ctx_checkpoints = 0
    params.fit_params = False
    params.verbosity = 0
    with tempfile.TemporaryDirectory(prefix="entrepot-model-") as folder:
        params.hostnames = [f"{folder}/unused.sock"]
        try:
            return xllamacpp.Server(params)
        except RuntimeError as error:
            raise BadInput(
                f"llama.cpp could not load {model} with {slots} slots of {context_tokens} tokens: too little memory, "
                "or not a model file it knows. Try fewer slots, or delete the file to have it prepared again."
            ) from error


def _tokenizer(vocabulary: Path) -> Tokenizer:
    """The tokenizer that llama.cpp calls "smollm": single digits, then GPT-2's byte-level words."""
    value = msgspec.json.decode(vocabulary.read_bytes())
    pairs = [tuple(merge.split(" ")) for merge in value["merges"]]
    tokenizer = Tokenizer(
        tokenizers.models.BPE(vocab={token: place for place, token in enumerate(value["tokens"])}, merges=pairs)
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return tokenizer


def _request(prompt: Sequence[int], sampling: Sampling) -> dict[str, Any]:
    request: dict[str, Any] = {
        "prompt": list(prompt),
        "stream": True,
        "timings_per_token": True,
        "return_progress": True,
        "cache_prompt": False,
        "max_tokens": sampling.output_tokens_max,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": 0.0,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": [list(pair) for pair in sampling.logit_bias],
        "stop": list(sampling.stop),
        "ignore_eos": sampling.ignore_end,
    }
    if sampling.seed is not None:
        request["seed"] = sampling.seed % (2**32 - 1)  # The last 32-bit number means "by chance" there.
    if sampling.top_logprobs is not None:
        request["logprobs"] = max(1, sampling.top_logprobs)  # 0 would mean none at all.
    if sampling.json_schema is not None:
        request["json_schema"] = msgspec.json.decode(sampling.json_schema)
    return request


def _choice(item: dict[str, Any]) -> TokenChoice:
    return TokenChoice(_chance(item), tuple(_chance(other) for other in item["top_logprobs"]))


def _chance(item: dict[str, Any]) -> TokenChance:
    return TokenChance(item["token"], bytes(item["bytes"]), item["logprob"])
