"""`entrepot serve` keeps a process that counts limits for several gateways; the doctor says where they are counted."""

import os
import signal
from pathlib import Path

import pytest

from entrepot.compose.diagnosis import diagnose
from entrepot.compose.settings import Settings, load_settings
from entrepot.core.capacity import Limit, ServedLimit
from entrepot.core.errors import BadInput
from entrepot.core.periods import MINUTE
from tests.support.gateway import deployment, eventually, target
from tests.support.gateway_processes import Installation
from tests.support.requests import ask, chat
from tests.support.valkey import running_valkey

AGES = 100 * 365 * 24 * 60 * MINUTE


@pytest.fixture
def installation(home: Installation) -> Installation:
    home.begin()
    limit = ServedLimit(
        Limit("few", "requests", "window", 6, AGES), "requests_per_minute", "the deployment search/chat"
    )
    home.publish(deployment("chat", target(home.base_url), limits=(limit,)))
    return home


def served(installation: Installation) -> int:
    """How many of ten requests are served; what others may hold idle is given back meanwhile."""
    return sum(ask(installation, chat("hi", max_tokens=3)).status == 200 for _ in range(10))


def test_several_gateways_count_together_and_what_counts_is_kept_running(installation: Installation) -> None:
    installation.start_serve(ENTREPOT_GATEWAY_WORKERS="3")
    counting = installation.children["counters"]
    assert served(installation) == 6
    os.kill(counting, signal.SIGKILL)
    eventually(lambda: installation.children.get("counters", counting) != counting)
    eventually(lambda: ask(installation, chat("hi", max_tokens=3)).status == 429)


def test_one_gateway_counts_by_itself_until_there_are_more(installation: Installation) -> None:
    serve = installation.start_serve()
    assert "counters" not in installation.children
    assert served(installation) == 6
    assert serve.poll() is None


def test_what_counts_for_several_begins_when_a_reload_makes_them_several(
    installation: Installation, tmp_path: Path
) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text("gateway_workers = 1\n")
    serve = installation.start_serve(ENTREPOT_CONFIG=str(config))
    assert serve.stderr is not None
    config.write_text('gateway_workers = 2\ncounters = "process"\n')
    serve.send_signal(signal.SIGHUP)
    assert "so nothing changes: counters = process counts each gateway" in serve.stderr.readline()
    config.write_text("gateway_workers = 2\n")
    serve.send_signal(signal.SIGHUP)
    assert serve.stderr.readline().startswith("reloaded")
    eventually(lambda: "counters" in installation.children)
    eventually(lambda: ask(installation, chat("hi", max_tokens=3)).status == 429)


def finding(settings: Settings) -> tuple[str, str]:
    [found] = [item for item in diagnose(settings, {}) if item.name == "counters"]
    return found.state, found.detail


def test_the_doctor_says_where_limits_are_counted(tmp_path: Path) -> None:
    def settings(**flags: str) -> Settings:
        return load_settings({}, {"home": str(tmp_path), **flags})

    assert finding(settings()) == ("good", "limits are counted in the gateway process, which is the only one")
    state, detail = finding(settings(gateway_workers="2"))
    assert (state, detail) == ("good", "limits are counted in one process for all gateways of this machine")
    state, detail = finding(settings(gateway_workers="2", counters="process"))
    assert state == "bad"
    assert "set counters to machine or auto" in detail
    state, detail = finding(settings(counters="valkey"))
    assert state == "bad"
    assert "set ENTREPOT_VALKEY_URL" in detail
    with running_valkey() as server:
        given = settings(counters="valkey", valkey_url=server.url)
        assert finding(given) == ("good", f"limits are counted in Valkey at {server.path}")
        server.stop()
        state, detail = finding(given)
        assert state == "bad"
        assert "cannot be used: " in detail


def test_the_doctor_says_where_the_running_gateways_count(installation: Installation) -> None:
    """Whoever asks has seldom the environment, the file and the flags of what runs."""
    ours = installation.settings
    installation.start_serve(ENTREPOT_GATEWAY_WORKERS="2")
    assert finding(ours) == ("good", "limits are counted in one process for all gateways of this machine")
    serve, others = [item for item in diagnose(ours, {}) if item.name == "serve"]
    assert (others.state, others.detail) == ("warn", "not running: log, worker, control, jobs")
    assert serve.state == "warn"
    assert serve.detail.startswith("gateway runs as process ")
    assert f" with 3 children, gateway at http://127.0.0.1:{installation.port}; " in serve.detail
    assert "; its settings differ from those shown here: gateway_address is 127.0.0.1:" in serve.detail
    assert serve.detail.endswith("; gateway_workers is 2, here 1")


def test_the_doctor_asks_no_other_valkey_than_the_one_in_use(installation: Installation) -> None:
    ours = installation.settings
    with running_valkey() as server:
        url = f"{server.url}?db=3"
        installation.start_serve(ENTREPOT_COUNTERS="valkey", ENTREPOT_VALKEY_URL=url)
        state, detail = finding(ours)
        assert state == "warn"
        assert detail.startswith(f"limits are counted in Valkey at {server.path}, which ENTREPOT_VALKEY_URL does not")
        known = load_settings({}, {"home": str(ours.home), "valkey_url": url})
        assert finding(known) == ("good", f"limits are counted in Valkey at {server.path}")
    assert "db=3" not in (ours.run_directory / "serve-gateway.json").read_text()  # Nor would a password be there.


def test_counters_are_somewhere_that_there_is() -> None:
    with pytest.raises(BadInput, match="must be auto, process, machine or valkey"):
        load_settings({}, {"counters": "somewhere"})
