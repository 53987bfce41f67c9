"""A test without a single case would pass unseen; our settings of pytest let no such test be collected."""

import subprocess
import sys
from pathlib import Path

_EMPTY = """
import pytest

@pytest.mark.parametrize("case", [])
def test_nothing(case):
    assert case
"""


def test_a_test_without_cases_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "test_empty.py"
    file.write_text(_EMPTY)
    settings = Path(__file__).parents[2] / "pyproject.toml"
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        settings,
        "--rootdir",
        tmp_path,
        "-p",
        "no:cacheprovider",
        file,
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stdout
    assert "Empty parameter set in 'test_nothing'" in done.stdout
