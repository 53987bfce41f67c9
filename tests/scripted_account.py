"""What the scripted upstream served to whom, kept in a file that outlives its process.

A line is written before a client can be told what it says, so that nothing was ever served beyond the last line.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


@dataclass
class Served:
    """What one request was served. state: running, finished or cancelled.

    meters: what was served of an operation that is not counted in tokens of text alone, by the names of the meters.
    """

    id: str
    model: str = ""
    stream: bool = False
    state: str = "running"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    meters: dict[str, int] = field(default_factory=dict)
    heads: list[dict[str, str]] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)

    def usage(self) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
        }

    def forget_tokens(self) -> None:
        """Nothing of this counts."""
        for count in _TOKENS:
            setattr(self, count, 0)


class Account:
    """The file. Without a path nothing is written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def taken_up(self) -> dict[str, Served]:
        """{request id: what it got} as an earlier process left it; what that was still at was cancelled by its end."""
        found = {}
        for request_id, line in ({} if self._path is None else last_lines(self._path)).items():
            usage = line["usage"]
            found[request_id] = served = Served(
                request_id,
                line["model"],
                line["stream"],
                line["state"],
                usage["prompt_tokens"],
                usage["completion_tokens"],
                usage["prompt_tokens_details"]["cached_tokens"],
                usage["completion_tokens_details"]["reasoning_tokens"],
                line["meters"],
            )
            if served.state == "running":
                served.state = "cancelled"
                self.note(served)
        return found

    def note(self, served: Served) -> None:
        """Writes how it stands with a request."""
        if self._path is not None:
            line = {name: getattr(served, name) for name in ("id", "state", "model", "stream", "meters")}
            with self._path.open("a") as file:
                file.write(json.dumps(line | {"usage": served.usage()}) + "\n")


def last_lines(path: Path) -> Mapping[str, Any]:
    """{request id: its last line}; a line that is being written may be there in part."""
    whole, _, _ = (path.read_text() if path.exists() else "").rpartition("\n")
    return {line["id"]: line for line in map(json.loads, whole.splitlines())}
