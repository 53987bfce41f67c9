"""General-purpose proxies beside nginx, each with a key check, one worker and connections kept open on both sides."""

import shutil
from pathlib import Path

from benchmarks.gateway.load import MockUpstream
from benchmarks.gateway.native_tools import ToolMissing
from benchmarks.gateway.peers.environments import installed
from benchmarks.gateway.processes import Children, free_port
from benchmarks.gateway.targets import Plain, Target, filled

HERE = Path(__file__).resolve().parent


def haproxy(children: Children, mock: MockUpstream) -> Target:
    """HAProxy, one thread. Raises: ToolMissing."""
    program = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if program is None:
        raise ToolMissing("haproxy is left out: it is not installed. On Debian and Ubuntu: apt-get install haproxy")
    port = free_port()
    values = {"PORT": port, "UPSTREAM_PORT": mock.port}
    settings = filled(children, HERE / "haproxy.cfg.template", values, "haproxy")
    return Plain(
        "haproxy", children.start("haproxy", [program, "-db", "-f", str(settings)], children.bench.target_core), port
    )


def envoy(children: Children, mock: MockUpstream) -> Target:
    """Envoy, one worker. Raises: ToolMissing."""
    found = sorted(installed("envoy").glob("lib/python3*/site-packages/envoy*/_bin/envoy"))
    if not found:
        raise ToolMissing("envoy is left out: its package brings no program for this machine")
    port = free_port()
    values = {"PORT": port, "UPSTREAM_PORT": mock.port}
    settings = filled(children, HERE / "envoy.yaml.template", values, "envoy")
    command = [str(found[0]), "-c", str(settings), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    return Plain("envoy", children.start("envoy", command, children.bench.target_core), port)
