"""Where requests go: heads that hold nothing of the client's, and addresses that are refused early."""

import pytest

from entrepot.core.errors import BadInput
from entrepot.core.snapshot import Target
from entrepot.core.turns import at_once
from entrepot.relay.destination import Destination, Origin, destinations_of, redact


def test_a_request() -> None:
    made = Destination("http://models.example:8000/v1/", "sk-secret", ["/chat/completions"])
    assert made.origin == Origin("models.example", 8000, tls=False)
    head, _, body = made.request("/chat/completions", "id-1", b"{}").partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n") == [
        b"POST /v1/chat/completions HTTP/1.1",
        b"Host: models.example:8000",
        b"Authorization: Bearer sk-secret",
        b"User-Agent: entrepot",
        b"Accept: application/json, text/event-stream",
        b"Accept-Encoding: identity",
        b"Content-Type: application/json",
        b"X-Request-Id: id-1",
        b"Content-Length: 2",
    ]


def test_no_key_no_authorization() -> None:
    assert b"Authorization" not in Destination("http://h/v1", "", ["/x"]).request("/x", "i", b"")


@pytest.mark.parametrize(
    ("base_url", "origin"),
    [
        ("https://api.example/v1", Origin("api.example", 443, tls=True)),
        ("http://api.example", Origin("api.example", 80, tls=False)),
        ("http://[::1]:9000/v1", Origin("::1", 9000, tls=False)),
    ],
)
def test_origins(base_url: str, origin: Origin) -> None:
    assert Destination(base_url, "", []).origin == origin


@pytest.mark.parametrize(
    "base_url",
    ["ftp://h/v1", "h/v1", "http:///v1", "http://h:99999/v1", "http://u:p@h/v1", "http://h/v1?a=b", "http://h/v 1", ""],
)
def test_an_address_that_is_none(base_url: str) -> None:
    with pytest.raises(BadInput, match="is not like https://host/v1"):
        Destination(base_url, "", [])


def test_a_key_that_no_header_can_carry() -> None:
    with pytest.raises(BadInput, match="characters that no header can carry"):
        Destination("http://h/v1", "a\r\nX: b", [])


def test_targets_of_one_upstream_may_be_in_several_places_and_broken_ones_are_left_out() -> None:
    def target(upstream: str, base_url: str, key_env: str = "") -> Target:
        return Target(upstream=upstream, base_url=base_url, key_env=key_env, model="m", usage_lookup=True)

    def secret_of(name: str) -> str:
        raise BadInput(f"{name} is not set")

    targets = [
        target("local", "http://127.0.0.1:1/v1"),
        target("local", "http://127.0.0.1:2/v1"),
        target("far", "http://far/v1", "FAR_KEY"),
        target("far", "http://far/v1", "FAR_KEY"),
    ]
    found, faults = at_once(destinations_of(targets, ["/x"], secret_of))
    assert [(place, found[place].origin.port) for place in found] == [
        (("local", "http://127.0.0.1:1/v1"), 1),
        (("local", "http://127.0.0.1:2/v1"), 2),
    ]
    assert faults == ["the upstream far cannot be used: FAR_KEY is not set"]


def test_secrets_are_taken_out_of_a_text() -> None:
    secrets = Destination("http://models.example:8000/v1", "sk-secret", []).secrets
    said = redact("no sk-secret at models.example:8000, models.example", secrets)
    assert said == "no [upstream] at [upstream], [upstream]"
