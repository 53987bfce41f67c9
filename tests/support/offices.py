"""A data directory with a month of business in it, made by the commands themselves."""

import json
from pathlib import Path

from entrepot.cli.main import main
from tests.support.worlds import SMALL

USAGE = [
    {
        "id": f"u{number}",
        "admitted_at": f"2024-05-{number + 1:02d}T08:00:00.5Z",
        "finished_at": f"2024-05-{number + 1:02d}T08:00:02Z",
        "customer": "acme",
        "project": "search",
        "deployment": "chat",
        "model": "gpt-4",
        "meters": {"input_tokens": 1000 + number, "output_tokens": 200},
    }
    for number in range(20)
]
UNPRICED = {"id": "odd", "admitted_at": "2024-05-03T00:00:00Z", "customer": "acme", "model": "gpt-9", "meters": {}}


def write_world(folder: Path, text: str = SMALL) -> str:
    """The path of a world file."""
    path = folder / "world.yaml"
    path.write_text(text)
    return str(path)


def write_usage(folder: Path) -> str:
    """The path of a usage file: twenty requests of May 2024 and one that has no price."""
    path = folder / "usage.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*USAGE, {**UNPRICED, "meters": {"input_tokens": 1}}]))
    return str(path)


def make_month(folder: Path) -> Path:
    """A data directory where May 2024 was used and closed."""
    home = folder / "home"
    at_home = ("--home", str(home))
    assert main(["apply", write_world(folder), *at_home]) == 0
    assert main(["usage", "import", write_usage(folder), *at_home]) == 0
    assert main(["close", "2024-05", *at_home]) == 0
    return home
