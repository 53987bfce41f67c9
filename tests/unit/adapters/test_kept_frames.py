"""Frames that outlive a killed gateway."""

import os
import signal
import subprocess
import sys
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrepot.adapters.kept_frames import KeptFrames, LeftFrames

steps = st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.just(None)), max_size=200)


@given(steps)
def test_what_is_left_is_what_was_kept_and_not_dropped(steps: list[bytes | None]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as directory:
        kept, left = KeptFrames(Path(directory), "g1", size=200), LeftFrames(Path(directory))
        model: deque[bytes] = deque()
        for step in steps:
            if step is None:
                if model:
                    kept.drop(len(model.popleft()))
            elif kept.add(step):
                model.append(step)
            else:
                assert sum(map(len, model)) + len(step) > 200 - 8 - 80, "refused though there was ample room"
        kept.close()
        assert left.take("g1") == b"".join(model)


def test_a_living_gateway_is_left_alone(tmp_path: Path) -> None:
    kept, left = KeptFrames(tmp_path, "g1"), LeftFrames(tmp_path)
    kept.add(b"one")
    assert left.take("g1") is None
    kept.close()
    assert left.take("g1") == b"one"
    left.remove("g1")
    left.remove("g1")
    assert left.take("g1") == b""
    assert left.instances() == []


def test_an_instance_keeps_one_file(tmp_path: Path) -> None:
    kept = KeptFrames(tmp_path, "g1")
    with pytest.raises(FileExistsError):
        KeptFrames(tmp_path, "g1")
    kept.close()


def test_frames_survive_kill_9(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from entrepot.adapters.kept_frames import KeptFrames\n"
        "kept = KeptFrames(Path(sys.argv[1]), 'g1')\n"
        "for number in range(1000): kept.add(b'%04d' % number)\n"
        "kept.drop(4 * 990); print('kept', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        assert LeftFrames(tmp_path).take("g1") is None
        os.kill(process.pid, signal.SIGKILL)
    assert LeftFrames(tmp_path).take("g1") == b"".join(b"%04d" % number for number in range(990, 1000))


def test_a_file_that_was_only_begun_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "g1.kept").write_bytes(b"")
    assert LeftFrames(tmp_path).take("g1") == b""
    (tmp_path / "g2.kept").write_bytes(bytes(100))
    assert LeftFrames(tmp_path).take("g2") == b""
