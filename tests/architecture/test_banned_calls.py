"""Time, chance and the environment enter below compose only through ports, and ruff notices when they do not."""

import json
import subprocess

import pytest

from tests.support.tree import PROGRAMS, ROOT

REACHES_OUT = {
    "from datetime import datetime, UTC\n\nNOW = datetime.now(UTC)\n": "datetime.datetime.now",
    "import time\n\nNOW = time.time()\n": "time.time",
    "from time import monotonic\n\nNOW = monotonic()\n": "time.monotonic",
    "import time\n\ntime.sleep(1)\n": "time.sleep",
    "import uuid\n\nNAME = uuid.uuid4()\n": "uuid.uuid4",
    "import random\n\nCHANCE = random.random()\n": "random",
    "from secrets import token_hex\n\nKEY = token_hex()\n": "secrets",
    "import os\n\nHOME = os.environ\n": "os.environ",
    "import os\n\nHOME = os.getenv('HOME')\n": "os.getenv",
}


@pytest.mark.parametrize("code", REACHES_OUT, ids=REACHES_OUT.values())
@pytest.mark.parametrize("floor", ["core", "ports", "ledger", "flows", "edge", "workers"])
def test_a_planted_call_is_caught(code: str, floor: str) -> None:
    assert REACHES_OUT[code] in " ".join(banned_in(f"src/entrepot/{floor}/planted.py", code))


@pytest.mark.parametrize("code", REACHES_OUT, ids=REACHES_OUT.values())
@pytest.mark.parametrize("floor", ["adapters", "compose"])
def test_where_the_outside_is_met_it_is_allowed(code: str, floor: str) -> None:
    assert banned_in(f"src/entrepot/{floor}/planted.py", code) == []


def test_a_relative_import_is_caught() -> None:
    assert "TID252" in codes_in("src/entrepot/ledger/planted.py", "from . import post\n")


def banned_in(path: str, code: str) -> list[str]:
    """What ruff says against the calls in `code` if it stood at `path`."""
    return [found["message"] for found in findings_in(path, code) if found["code"] == "TID251"]


def codes_in(path: str, code: str) -> set[str]:
    return {found["code"] for found in findings_in(path, code)}


def findings_in(path: str, code: str) -> list[dict[str, str]]:
    done = subprocess.run(
        [PROGRAMS / "ruff", "check", "--no-cache", "--output-format", "json", "--stdin-filename", path, "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 1}, done.stderr
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found
