"""Settings: which source wins, where a value came from, and what is said about a wrong one."""

import dataclasses
from pathlib import Path

import pytest

from entrepot.compose.settings import DEFINITIONS, Address, Settings, load_settings, unknown_variables
from entrepot.core.errors import BadInput


def test_there_is_a_field_for_each_definition() -> None:
    fields = [item.name for item in dataclasses.fields(Settings)]
    assert fields == [*(item.name for item in DEFINITIONS), "sources"]


def test_defaults() -> None:
    settings = load_settings({})
    assert settings.home == Path.cwd() / "var"
    assert settings.gateway_address == Address("127.0.0.1", 8080)
    assert settings.console_address.url == "http://127.0.0.1:8081"
    assert set(settings.sources.values()) == {"default"}


def test_flags_win_over_the_environment_over_the_file_over_defaults(tmp_path: Path) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text('home = "/srv/file"\ngateway_workers = 3\nmodel_threads = "2"\n')
    environment = {"ENTREPOT_CONFIG": str(config), "ENTREPOT_HOME": "/srv/environment", "ENTREPOT_GATEWAY_WORKERS": "4"}
    settings = load_settings(environment, {"home": "/srv/flag"})
    assert settings.home == Path("/srv/flag")
    assert settings.gateway_workers == 4
    assert settings.model_threads == 2
    assert settings.sources["home"] == "--home"
    assert settings.sources["gateway_workers"] == "ENTREPOT_GATEWAY_WORKERS"
    assert settings.sources["model_threads"] == str(config)
    assert settings.sources["drain_seconds"] == "default"


def test_an_empty_variable_says_nothing() -> None:
    assert load_settings({"ENTREPOT_HOME": ""}).sources["home"] == "default"


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"ENTREPOT_GATEWAY_ADDRESS": "8080"}, "gateway_address '8080' (from ENTREPOT_GATEWAY_ADDRESS) must be like"),
        ({"ENTREPOT_GATEWAY_ADDRESS": "host:99999"}, "must be like 127.0.0.1:8080"),
        ({"ENTREPOT_GATEWAY_WORKERS": "0"}, "must be a whole number of at least 1"),
        ({"ENTREPOT_TRACE_SHARE": "1.5"}, "trace_share '1.5' (from ENTREPOT_TRACE_SHARE) must be a number from 0 to 1"),
        ({"ENTREPOT_TRACE_SHARE": "0.00001"}, "with up to four digits after the point"),
        ({"ENTREPOT_OTLP_ENDPOINT": "127.0.0.1:4318"}, "must be like http://127.0.0.1:4318"),
        ({"ENTREPOT_ACCESS_LOG_FORM": "xml"}, "must be json or text"),
        ({"ENTREPOT_ANSWERS_WAIT_FOR": "tape"}, "must be disk or memory"),
        (
            {"ENTREPOT_DRAIN_SECONDS": "soon"},
            "drain_seconds 'soon' (from ENTREPOT_DRAIN_SECONDS) must be a whole number",
        ),
        (
            {"ENTREPOT_CONFIG": "/nowhere/at/all.toml"},
            "ENTREPOT_CONFIG names /nowhere/at/all.toml, which cannot be read",
        ),
    ],
)
def test_a_wrong_value_is_said_with_its_source(environment: dict[str, str], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_settings(environment)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hoome = 'x'", "unknown setting hoome; did you mean home?"),
        ("gateway_workers = true", "gateway_workers must be a text or a number"),
        ("home = ", "is not TOML"),
    ],
)
def test_a_wrong_file_is_said(tmp_path: Path, text: str, message: str) -> None:
    config = tmp_path / "entrepot.toml"
    config.write_text(text)
    with pytest.raises(BadInput) as caught:
        load_settings({"ENTREPOT_CONFIG": str(config)})
    assert message in caught.value.message


def test_a_child_reads_the_same_settings() -> None:
    settings = load_settings({"ENTREPOT_GATEWAY_ADDRESS": "[::1]:9000", "ENTREPOT_HOME": "/srv/home"})
    again = load_settings(settings.environment())
    assert dataclasses.replace(again, sources={}) == dataclasses.replace(settings, sources={})


def test_variables_that_are_no_settings_are_noticed() -> None:
    environment = dict.fromkeys(("ENTREPOT_HOOME", "ENTREPOT_HOME", "ENTREPOT_CONFIGG", "ENTREPOT_Q", "HOME"), "x")
    config, home, far = unknown_variables(environment)
    assert home == "ENTREPOT_HOOME is not a setting; did you mean ENTREPOT_HOME?"
    assert config == "ENTREPOT_CONFIGG is not a setting; did you mean ENTREPOT_CONFIG?"
    assert far == "ENTREPOT_Q is not a setting; see docs/reference/settings.md"


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1")])
def test_an_address_of_all_interfaces_is_reached_on_loopback(host: str, url: str) -> None:
    assert Address(host, 1).url == url


@pytest.mark.parametrize("share", ["0", "1", "0.0001", ".25", "1.0"])
def test_a_share_reaches_child_processes_as_it_is(share: str) -> None:
    settings = load_settings({"ENTREPOT_TRACE_SHARE": share})
    assert load_settings(settings.environment()).trace_share == settings.trace_share == float(share)


@pytest.mark.parametrize(
    "url",
    ["valkey://:pa/ssword@host:6379/0", "valkey://user:pa#ssword@host/0", "valkey://:pa?ssword@host", "unix://?db=pa"],
)
def test_a_password_that_reads_as_something_else_is_not_repeated(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        load_settings({"ENTREPOT_VALKEY_URL": url})
    assert "pa" not in caught.value.message.replace("a password", "").replace("a path", "")
    assert "ssword" not in caught.value.message.replace("a password", "")
