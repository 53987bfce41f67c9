"""What can be said of the engine without its model."""

import platform
from pathlib import Path

import pytest

from entrepot.adapters.llama_cpp_engine import LlamaCppEngine, refuse_old_cpu
from entrepot.core.errors import BadInput


def test_an_old_processor_is_refused_by_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu sse2 f16c avx\n")
    with pytest.raises(BadInput, match="lacks avx2, fma,"):
        refuse_old_cpu(cpuinfo)
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 fma f16c\n")
    refuse_old_cpu(cpuinfo)
    refuse_old_cpu(tmp_path / "none")
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    cpuinfo.write_text("Features\t: neon\n")
    refuse_old_cpu(cpuinfo)


def test_a_missing_or_broken_file_is_said_plainly(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocabulary.json"
    vocabulary.write_text('{"tokens": ["a", "b"], "merges": []}')
    with pytest.raises(BadInput, match="no model file"):
        LlamaCppEngine(tmp_path / "none.gguf", vocabulary, slots=1, context_tokens=64, threads=1)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, not really")
    with pytest.raises(BadInput, match="could not load"):
        LlamaCppEngine(broken, vocabulary, slots=1, context_tokens=64, threads=1)
