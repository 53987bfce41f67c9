"""What is compared. A target is started once for a run and loaded in turn with the others."""

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Protocol

from benchmarks.gateway.load import PROMPT_TOKENS, Load, MockUpstream, chat_body
from benchmarks.gateway.native_tools import HERE, ToolMissing
from benchmarks.gateway.processes import Child, Children, free_port, open_files_max, tree

KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"
ROOT = HERE.parents[1]
READY_SECONDS = 60


class Target(Protocol):
    """Something that answers chat requests at a port for a key."""

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        ...

    @property
    def key(self) -> str:
        """A key that it takes."""
        ...

    def processes(self) -> dict[str, list[int]]:
        """{part: process ids}, everything whose CPU time and memory count."""
        ...

    def metered(self) -> int | None:
        """How many requests it has durably metered since its start, or None when metering is not what it does."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A target of one part that meters nothing."""

    part: str
    child: Child
    port: int
    key: str = KEY

    def processes(self) -> dict[str, list[int]]:
        """Its whole tree."""
        return {self.part: tree(self.child.pid)}

    def metered(self) -> int | None:
        """None."""
        return None


def direct(children: Children, mock: MockUpstream) -> Target:
    """The mock upstream itself: what the yardsticks cost without anything between them."""
    return Plain("mock upstream", mock.child, mock.port)


def nginx(children: Children, mock: MockUpstream) -> Target:
    """nginx as a plain reverse proxy with a key check. Raises: ToolMissing."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise ToolMissing("nginx is left out: it is not installed. On Debian and Ubuntu: apt-get install nginx-light")
    bench = children.bench
    port = free_port()
    values = {
        "SCRATCH": bench.scratch,
        "KEY": KEY,
        "PORT": port,
        "UPSTREAM_PORT": mock.port,
        "OPEN_FILES": min(20_000, open_files_max()),
    }
    text = (HERE / "nginx.conf.template").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    settings = bench.scratch / "nginx.conf"
    settings.write_text(text)
    command = [program, "-c", str(settings), "-p", str(bench.scratch)]
    if children.wrapper:  # valgrind cannot be spoken to across the worker's change of user
        command += ["-g", "master_process off;"]
    child = children.start("nginx", command, bench.target_core)
    return ready(Plain("nginx", child, port), child)


def uvicorn(children: Children, mock: MockUpstream) -> Target:
    """asgi_proxy.py under uvicorn, one worker, uvloop and httptools."""
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "benchmarks.gateway.asgi_proxy:app",
        "--port",
        str(port),
        "--loop",
        "uvloop",
    ]
    command += [
        "--http",
        "httptools",
        "--no-access-log",
        "--log-level",
        "warning",
        "--backlog",
        "4096",
        "--timeout-keep-alive",
        "600",
    ]
    environment = {"BENCH_UPSTREAM": f"http://127.0.0.1:{mock.port}", "BENCH_KEY": KEY}
    child = children.start("uvicorn", command, children.bench.target_core, environment, cwd=ROOT)
    return ready(Plain("uvicorn", child, port), child)


def ready(target: Target, child: Child) -> Target:
    """The target, once it answers with the mock upstream's usage. Raises: RuntimeError with its last words."""
    problem = "it does not answer"
    for _ in range(READY_SECONDS * 10):
        if child.process.poll() is not None:
            problem = f"it ended with status {child.process.returncode}"
            break
        try:
            answer = ask(target, target.key)
            if answer["usage"]["prompt_tokens"] == PROMPT_TOKENS:
                return target
            problem = f"it answered {answer}"
        except urllib.error.HTTPError as error:
            problem = f"it answered {error.code}: {error.read()[:300]!r}"
        except (OSError, ValueError, KeyError) as error:
            problem = repr(error)
        time.sleep(0.1)
    raise RuntimeError(f"{child.output.stem} cannot be measured: {problem}\n{child.complaint()}")


def refuses_strangers(target: Target) -> bool:
    """Whether a wrong key is turned away with 401: a target that does not check keys is not compared."""
    try:
        ask(target, "sk-wrong")
    except urllib.error.HTTPError as error:
        return error.code == 401
    return False


def ask(target: Target, key: str) -> dict[str, dict[str, int]]:
    """The answer to one plain request. Raises: urllib.error.HTTPError, OSError, ValueError."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{target.port}/v1/chat/completions",
        data=chat_body(Load(1, 0, 0)),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        decoded = json.loads(answer.read())
    return decoded if isinstance(decoded, dict) else {}
