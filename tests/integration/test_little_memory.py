"""Where memory runs out, a command and a process of `entrepot serve` end with one line that says what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.adapters.onnx_embedder import OnnxEmbedder
from entrepot.cli.main import main

# What runs below a limit of address space that leaves it so many more bytes than it has when it begins.
_LIMITED = """
import os, resource, sys
from pathlib import Path
from entrepot.cli.main import main as command
from entrepot.compose.child import main as child

pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * os.sysconf("SC_PAGE_SIZE") + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (most, most))
words = sys.argv[3:]
sys.exit(command(words) if sys.argv[2] == "command" else child([str(os.getppid()), *words]))
"""
_SAID = "not enough memory; end other programs, or raise this one's limit (ulimit -v; its unit's or container's)\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep this limit")


def limited(spare: int, *words: str) -> tuple[int, str]:
    """Exit status and what is said on stderr. spare: bytes that may still be had."""
    done = subprocess.run([sys.executable, "-c", _LIMITED, str(spare), *words], capture_output=True, text=True)
    return done.returncode, done.stderr


def test_a_command_without_memory_is_one_line(tmp_path: Path) -> None:
    world = tmp_path / "world.yaml"
    with world.open("wb") as file:
        file.truncate(256 << 20)
    said = limited(64 << 20, "command", "apply", str(world), "--home", str(tmp_path / "home"))
    assert said == (1, f"entrepot: {_SAID}")


@pytest.mark.parametrize("role", ["control", "jobs"])
def test_a_process_without_memory_is_one_line(role: str) -> None:
    """Not even its libraries can be loaded."""
    assert limited(4 << 20, "process", role) == (1, _SAID)


def test_a_mistake_of_ours_is_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> object:
        raise RuntimeError("a mistake")

    monkeypatch.setattr("entrepot.cli.key.settings_of", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        main(["key", "list"])


def test_a_model_without_memory_is_not_to_be_installed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The words are onnxruntime's, below `ulimit -v 300000`."""

    def short(*_: object, **__: object) -> object:
        raise RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Load model from model.onnx failed:std::bad_alloc")

    monkeypatch.setattr("onnxruntime.InferenceSession", short)
    with pytest.raises(MemoryError):
        OnnxEmbedder(tmp_path / "model.onnx", threads=1)
