"""LLM gateways written as web applications in Python and JavaScript."""

import json
import shutil
from pathlib import Path

from benchmarks.gateway.load import MODEL, Manner, MockUpstream
from benchmarks.gateway.native_tools import ToolMissing
from benchmarks.gateway.peers.environments import installed, program
from benchmarks.gateway.processes import Children, free_port
from benchmarks.gateway.targets import KEY, Plain, Target, fetch, filled

HERE = Path(__file__).resolve().parent
_REWRITTEN_BYTES_MIN = 500


def litellm(children: Children, mock: MockUpstream) -> Target:
    """LiteLLM's proxy: a master key, no database, nothing called back. Raises: ToolMissing."""
    port = free_port()
    values = {"MODEL": MODEL, "UPSTREAM_PORT": mock.port}
    settings = filled(children, HERE / "litellm.yaml.template", values, "litellm")
    command = [program("litellm", "litellm"), "--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "LITELLM_LOG": "ERROR",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "NO_DOCS": "True",
        "PATH": f"{installed('litellm') / 'bin'}:/usr/bin:/bin",
    }
    child = children.start("litellm", [*command, "--num_workers", "1"], children.bench.target_core, environment)
    return Plain("litellm", child, port, KEY, Manner(answer_bytes=_REWRITTEN_BYTES_MIN))


def any_llm(children: Children, mock: MockUpstream) -> Target:
    """any-llm-gateway: keys, priced usage of each request in SQLite. Raises: ToolMissing."""
    port = free_port()
    values = {"MODEL": MODEL, "UPSTREAM_PORT": mock.port}
    settings = filled(children, HERE / "any_llm.yaml.template", values, "any-llm")
    command = [program("any-llm", "any-llm-gateway"), "serve", "-c", str(settings), "--host", "127.0.0.1"]
    child = children.start(
        "any-llm",
        [*command, "--port", str(port), "--workers", "1"],
        children.bench.target_core,
        cwd=children.bench.scratch,
    )

    def make_key(target: Plain) -> None:
        base, headers = f"http://127.0.0.1:{port}/v1", {"X-AnyLLM-Key": f"Bearer {KEY}"}
        fetch(f"{base}/users", b'{"user_id":"benchmark"}', headers)
        made = fetch(f"{base}/keys", b'{"key_name":"benchmark","user_id":"benchmark"}', headers)
        target.key = str(made["key"])
        header = f"X-AnyLLM-Key: Bearer {target.key}"
        target.manner = Manner("/v1/chat/completions", f"openai:{MODEL}", (header,), _REWRITTEN_BYTES_MIN)

    return Plain("any-llm", child, port, KEY, set_up=make_key)


def mlflow(children: Children, mock: MockUpstream) -> Target:
    """MLflow's gateway with usage tracking, no keys. Raises: ToolMissing."""
    port, scratch = free_port(), children.bench.scratch
    command = [program("mlflow", "mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = {
        "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PATH": f"{installed('mlflow') / 'bin'}:/usr/bin:/bin",
    }
    store = [
        "--backend-store-uri",
        f"sqlite:///{scratch}/mlflow.db",
        "--artifacts-destination",
        str(scratch / "mlflow"),
    ]
    child = children.start("mlflow", [*command, *store], children.bench.target_core, environment, cwd=scratch)
    manner = Manner("/gateway/mlflow/v1/chat/completions", MODEL, (), _REWRITTEN_BYTES_MIN)

    def make_endpoint(target: Plain) -> None:
        del target
        base = f"http://127.0.0.1:{port}/api/3.0/mlflow/gateway"
        secret = _made(base, "secrets", secret_name="s", secret_value={"api_key": "sk-upstream"}, provider="openai",
                       auth_config={"api_base": f"http://127.0.0.1:{mock.port}/v1"})  # fmt: skip
        model = _made(base, "model-definitions", name="m", secret_id=secret["secret"]["secret_id"], provider="openai",
                      model_name=MODEL)  # fmt: skip
        part = {
            "model_definition_id": model["model_definition"]["model_definition_id"],
            "linkage_type": "PRIMARY",
            "weight": 1,
        }
        _made(base, "endpoints", name=MODEL, model_configs=[part], usage_tracking=True)

    return Plain("mlflow", child, port, KEY, manner, make_endpoint)


def _made(base: str, what: str, **fields: object) -> dict[str, dict[str, int]]:
    return fetch(f"{base}/{what}/create", json.dumps(fields).encode(), {})


def portkey(children: Children, mock: MockUpstream) -> Target:
    """Portkey's gateway on Node: no keys. Raises: ToolMissing."""
    node = shutil.which("node")
    if node is None:
        raise ToolMissing("portkey is left out: there is no node. On Debian and Ubuntu: apt-get install nodejs")
    port = free_port()
    server = installed("portkey") / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command = [node, "--import", str(HERE / "portkey_streams.mjs"), str(server), f"--port={port}", "--headless"]
    environment = {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1"}
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: http://127.0.0.1:{mock.port}/v1")
    child = children.start("portkey", command, children.bench.target_core, environment)
    return Plain("portkey", child, port, KEY, Manner(headers=headers, answer_bytes=_REWRITTEN_BYTES_MIN))
