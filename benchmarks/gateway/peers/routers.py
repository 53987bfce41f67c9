"""LLM routers and gateways in Rust and Go. None of them meters; each says whether it looks at the key."""

import re
import secrets
from pathlib import Path

from benchmarks.gateway.load import MODEL, Manner, MockUpstream
from benchmarks.gateway.peers.environments import program
from benchmarks.gateway.processes import Children, free_port
from benchmarks.gateway.targets import KEY, Plain, Target, fetch, filled

HERE = Path(__file__).resolve().parent
_REWRITTEN_BYTES_MIN = 500  # What an answer has at least that a gateway wrote anew from what it had read.


def vllm_router(children: Children, mock: MockUpstream) -> Target:
    """vllm-router: no keys. Raises: ToolMissing."""
    return _router(children, mock, "vllm-router", [program("vllm-router", "vllm-router")], ["--log-level", "error"])


def sglang_router(children: Children, mock: MockUpstream) -> Target:
    """sglang-router with one key. Raises: ToolMissing."""
    options = ["--log-level", "error", "--api-key", KEY, "--max-concurrent-requests", "9000", "--disable-health-check"]
    return _router(children, mock, "sglang-router", [program("sglang-router", "sglang-router"), "launch"], options)


def smg(children: Children, mock: MockUpstream) -> Target:
    """smg with one key. Raises: ToolMissing."""
    options = ["--log-level", "warn", "--api-key", KEY, "--max-concurrent-requests", "9000"]
    return _router(children, mock, "smg", [program("smg", "smg"), "launch"], options)


def _router(children: Children, mock: MockUpstream, name: str, command: list[str], options: list[str]) -> Target:
    port = free_port()
    where = ["--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port())]
    upstream = ["--worker-urls", f"http://127.0.0.1:{mock.port}", "--policy", "round_robin"]
    environment = {"TOKIO_WORKER_THREADS": "1"}
    child = children.start(name, [*command, *where, *upstream, *options], children.bench.target_core, environment)
    return Plain(name, child, port)


def tensorzero(children: Children, mock: MockUpstream) -> Target:
    """TensorZero's HTTP gateway: no keys, nothing recorded. It listens where it likes. Raises: ToolMissing."""
    values = {"MODEL": MODEL, "UPSTREAM_PORT": mock.port}
    settings = filled(children, HERE / "tensorzero.toml.template", values, "tensorzero")
    command = [program("tensorzero", "python"), str(HERE / "tensorzero_gateway.py"), str(settings)]
    environment = {"UPSTREAM_KEY": "sk-upstream", "TOKIO_WORKER_THREADS": "1"}
    child = children.start("tensorzero", command, children.bench.target_core, environment)
    manner = Manner("/openai/v1/chat/completions", f"tensorzero::model_name::{MODEL}", (), _REWRITTEN_BYTES_MIN)

    def find_port(target: Plain) -> None:
        found = re.search(r"listening at http://[\d.]+:(\d+)", child.output.read_text())
        if not found:
            raise ValueError("it has not said yet where it listens")
        target.port = int(found[1])

    return Plain("tensorzero", child, 0, KEY, manner, find_port)


def ferrogw(children: Children, mock: MockUpstream) -> Target:
    """ferrogw with keys in SQLite. It listens on every interface of the machine. Raises: ToolMissing."""
    scratch = children.bench.scratch
    settings = filled(children, HERE / "ferrogw.yaml.template", {}, "ferrogw")
    port, master = free_port(), "fgw_" + secrets.token_hex(24)
    environment = {
        "GATEWAY_CONFIG": str(settings),
        "MASTER_KEY": master,
        "OPENAI_API_KEY": "sk-upstream",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{mock.port}",
        "PORT": str(port),
        "API_KEY_STORE_BACKEND": "sqlite",
        "API_KEY_STORE_DSN": str(scratch / "ferrogw.db"),
        "RATE_LIMIT_RPS": "1000000",  # Without these it turns away all but a few requests of one address.
        "RATE_LIMIT_BURST": "1000000",
        "GOMAXPROCS": "1",
    }
    child = children.start("ferrogw", [program("ferrogw", "ferrogw"), "serve"], children.bench.target_core, environment)
    manner = Manner(answer_bytes=_REWRITTEN_BYTES_MIN)

    def make_key(target: Plain) -> None:
        made = fetch(
            f"http://127.0.0.1:{port}/admin/keys", b'{"name":"benchmark"}', {"Authorization": f"Bearer {master}"}
        )
        target.key = str(made["key"])

    return Plain("ferrogw", child, port, KEY, manner, make_key)
