"""What a target is, and the yardsticks among them. A target is started once for a run and loaded in turn."""

import json
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.gateway.load import PROMPT_TOKENS, USUAL, Load, Manner, MockUpstream, chat_body
from benchmarks.gateway.native_tools import HERE, ToolMissing
from benchmarks.gateway.processes import Child, Children, free_port, open_files_max, tree

KEY = "sk-benchmark-0123456789abcdef0123456789abcdef"
ROOT = HERE.parents[1]
READY_SECONDS = 120


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

    @property
    def manner(self) -> Manner:
        """How it wants to be asked."""
        ...

    def processes(self) -> dict[str, list[int]]:
        """{part: process ids}, everything whose CPU time and memory count."""
        ...

    def metered(self, more: int = 0) -> int | None:
        """How many requests it has durably metered since its start, or None when metering is not what it does.

        more: than when this was asked last; those have to come, and may come a moment behind their answers.
        """
        ...

    def await_ready(self) -> None:
        """Nothing, once it answers as the mock upstream does. Raises: RuntimeError."""
        ...


@dataclass(slots=True)
class Plain:
    """A target of one part, of which no metering is asked.

    set_up: called until it does not raise OSError or ValueError, before the target is asked for the first time.
    """

    part: str
    child: Child
    port: int
    key: str = KEY
    manner: Manner = USUAL
    set_up: Callable[["Plain"], None] | None = None

    def processes(self) -> dict[str, list[int]]:
        """Its whole tree."""
        return {self.part: tree(self.child.pid)}

    def metered(self, more: int = 0) -> int | None:
        """None."""
        del more
        return None

    def await_ready(self) -> None:
        """Nothing, once it is set up and answers. Raises: RuntimeError."""
        if self.set_up is not None:
            eventually(self.child, lambda: self.set_up and self.set_up(self))
        ready(self, self.child)


def direct(children: Children, mock: MockUpstream) -> Target:
    """The mock upstream itself: what the yardsticks cost without anything between them."""
    del children
    return Plain("mock upstream", mock.child, mock.port)


def nginx(children: Children, mock: MockUpstream, workers: int = 1, tls: "TlsUpstream | None" = None) -> Target:
    """nginx as a plain reverse proxy with a key check. Raises: ToolMissing."""
    program = nginx_program()
    name = f"nginx-{workers}" + ("-tls" if tls else "")
    port = free_port()
    values = {
        "NAME": name,
        "WORKERS": workers,
        "REUSEPORT": " reuseport" if workers > 1 else "",
        "PORT": port,
        "UPSTREAM_PORT": tls.port if tls else mock.port,
        "SCHEME": "https" if tls else "http",
    }
    settings = filled(children, HERE / "nginx.conf.template", values, name)
    command = [program, "-c", str(settings), "-p", str(children.bench.scratch)]
    if children.wrapper:  # valgrind cannot be spoken to across the worker's change of user
        command += ["-g", "master_process off;"]
    core = children.bench.target_core if workers == 1 else None
    return Plain("nginx", children.start(name, command, core), port)


def nginx_program() -> str:
    """Where nginx is. Raises: ToolMissing."""
    program = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if program is None:
        raise ToolMissing("nginx is left out: it is not installed. On Debian and Ubuntu: apt-get install nginx-light")
    return program


@dataclass(frozen=True, slots=True)
class TlsUpstream:
    """The mock upstream behind TLS. authority: the certificate to trust."""

    port: int
    authority: Path


def uvicorn(children: Children, mock: MockUpstream) -> Target:
    """asgi_proxy.py under uvicorn, one worker, uvloop and httptools."""
    port = free_port()
    command = f"-m uvicorn benchmarks.gateway.asgi_proxy:app --port {port} --loop uvloop --http httptools"
    options = "--no-access-log --log-level warning --backlog 4096 --timeout-keep-alive 600"
    environment = {"BENCH_UPSTREAM": f"http://127.0.0.1:{mock.port}", "BENCH_KEY": KEY}
    words = [sys.executable, *command.split(), *options.split()]
    child = children.start("uvicorn", words, children.bench.target_core, environment, cwd=ROOT)
    return Plain("uvicorn", child, port)


def bare(children: Children, mock: MockUpstream) -> Target:
    """The product's own connections and relay with nothing but a key check between them: bare_relay.py."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.gateway.bare_relay", str(port)]
    environment = {"BENCH_UPSTREAM": f"http://127.0.0.1:{mock.port}/v1", "BENCH_KEY": KEY}
    return Plain(
        "relay", children.start("bare-relay", command, children.bench.target_core, environment, cwd=ROOT), port
    )


def filled(children: Children, template: Path, values: Mapping[str, object], name: str) -> Path:
    """A settings file for a target, made from a template by putting values in for @NAMES@."""
    usual = {"SCRATCH": children.bench.scratch, "KEY": KEY, "OPEN_FILES": min(20_000, open_files_max())}
    text = template.read_text()
    for word, value in {**usual, **values}.items():
        text = text.replace(f"@{word}@", str(value))
    path = children.bench.scratch / f"{name}{Path(template.stem).suffix}"
    path.write_text(text)
    return path


def eventually(child: Child, act: Callable[[], object]) -> None:
    """Does it again and again until it raises neither OSError nor ValueError. Raises: RuntimeError with last words."""
    problem = "it does not answer"
    for _ in range(READY_SECONDS * 10):
        if child.process.poll() is not None:
            problem = f"it ended with status {child.process.returncode}"
            break
        try:
            act()
        except urllib.error.HTTPError as error:
            problem = f"it answered {error.code}: {error.read()[:300]!r}"
        except (OSError, ValueError) as error:
            problem = repr(error)
        else:
            return
        time.sleep(0.1)
    raise RuntimeError(f"{child.output.stem} cannot be measured: {problem}\n{child.complaint()}")


def ready(target: Target, child: Child) -> None:
    """Nothing, once it answers with the mock upstream's usage. Raises: RuntimeError with its last words."""

    def answers() -> None:
        answer = ask(target, target.key)
        usage = answer.get("usage") or {}
        if usage.get("prompt_tokens") != PROMPT_TOKENS:
            raise ValueError(f"it answered {answer}")

    eventually(child, answers)


def refuses_strangers(target: Target) -> bool:
    """Whether a wrong key is turned away: a target that does not check keys does less than it is compared with."""
    try:
        ask(target, "sk-wrong")
    except urllib.error.HTTPError as error:
        return error.code in {400, 401, 403}  # LiteLLM without a database says 400
    return False


def ask(target: Target, key: str) -> dict[str, dict[str, int]]:
    """The answer to one plain request. Raises: urllib.error.HTTPError, OSError, ValueError."""
    manner = target.manner
    lines = (line.replace(target.key, key).partition(":") for line in manner.headers)
    return fetch(
        f"http://127.0.0.1:{target.port}{manner.path}",
        chat_body(Load(1, 0, 0), manner.model),
        {"Authorization": f"Bearer {key}"} | {name: value.strip() for name, _, value in lines},
    )


def fetch(url: str, body: bytes, headers: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """The JSON object that answers a POST. Raises: urllib.error.HTTPError, OSError, ValueError."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        decoded = json.loads(answer.read())
    return decoded if isinstance(decoded, dict) else {}
