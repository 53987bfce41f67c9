"""Azure's paths and versions, and its form of errors and models."""

import json

import pytest

from entrepot.core.errors import InvalidRequest, RouteNotFound
from entrepot.dialects.azure import (
    VERSIONS,
    check_dated_version,
    check_undated_version,
    decode_segment,
    describe_model,
    write_error,
)
from tests.support.gateway import deployment


@pytest.mark.parametrize(
    ("segment", "name"),
    [
        (b"chat", "chat"),
        (b"a%2Fb", "a/b"),
        (b"a%252Fb", "a%2Fb"),
        (b"gr%C3%BCn", "grün"),
        (b"a%20b", "a b"),
        (b"a+b", "a+b"),
    ],
)
def test_a_segment_is_decoded_once(segment: bytes, name: str) -> None:
    assert decode_segment(segment) == name


@pytest.mark.parametrize("segment", [b"", b".", b"..", b"%2e%2E", b"%2e", b"%ff"])
def test_a_segment_that_names_nothing(segment: bytes) -> None:
    with pytest.raises(RouteNotFound):
        decode_segment(segment)


def test_dated_versions() -> None:
    for version in VERSIONS:
        check_dated_version(f"a=b&api-version={version}".encode())
    for missing in (b"", b"a=b", b"api-version="):
        with pytest.raises(InvalidRequest, match="api-version is missing"):
            check_dated_version(missing)
    for unknown in (b"api-version=2020-01-01", b"api-version=v1", b"api-version=%ff"):
        with pytest.raises(RouteNotFound, match="is not known here"):
            check_dated_version(unknown)


def test_undated_versions() -> None:
    for good in (b"", b"a=b", b"api-version=v1", b"api-version=preview", b"api-version=latest", b"api-version="):
        check_undated_version(good)
    with pytest.raises(RouteNotFound, match="belongs to the dated routes"):
        check_undated_version(b"api-version=2024-10-21")


def test_an_error_is_a_code_and_a_message() -> None:
    assert json.loads(write_error("401", "no")) == {"error": {"code": "401", "message": "no"}}


def test_a_model_says_what_it_can_do() -> None:
    described = describe_model(deployment("embed", operations=("embeddings",), stage="deprecated"), 0)
    assert (described["id"], described["model"], described["lifecycle_status"]) == (
        "embed",
        "model-of-embed",
        "deprecated",
    )
    assert described["capabilities"] == {
        "inference": True,
        "chat_completion": False,
        "completion": False,
        "embeddings": True,
        "fine_tune": False,
    }
