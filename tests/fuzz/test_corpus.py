"""What the fuzzer found worth keeping is checked again with every test run, on the product as it is installed."""

import importlib
import re

import pytest

from tests.fuzz import requests_target
from tests.fuzz.run import CORPUS, TARGETS


@pytest.mark.parametrize("target", TARGETS)
def test_no_kept_input_breaks_a_rule(target: str) -> None:
    check = importlib.import_module(f"tests.fuzz.{target}_target").check
    kept = sorted((CORPUS / target).iterdir())
    assert len(kept) > 30
    for path in kept:
        try:
            check(path.read_bytes())
        except AssertionError as error:
            raise AssertionError(f"{path.name}: {error}") from None


def test_the_corpus_stays_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()]
    assert len(sizes) < 400
    assert sum(sizes) < 100_000


HEAD = b"POST /v1/x HTTP/1.1\r\nHost: h\r\n"
# For each rule of requests_target.STRICTER, a request that it is for.
REFUSED = {
    "a target that is neither a path nor an address of the Host": b"GET http://other/ HTTP/1.1\r\nHost: h\r\n\r\n",
    "another version than HTTP/1.0 and HTTP/1.1": b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    "two spaces in a first line": b"GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
    "a line that ends without CR": HEAD + b"X: a\nY: b\r\n\r\n",
    "a folded line": HEAD + b"X: a\r\n b\r\n\r\n",
    "a coding with a length, or from HTTP/1.0": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
    "another coding than chunked": HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
    "a field twice that may be there once": HEAD + b"Authorization: a\r\nauthorization: a\r\n\r\n",
    "an expectation other than 100-continue": HEAD + b"Expect: more\r\n\r\n",
    "a length that is not up to 15 plain digits": HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
    "a body that is too large": HEAD + b"Content-Length: 99999999\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "a target beyond visible ASCII": b"GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n",
    "a field's name that is no token": HEAD + b"X : y\r\n\r\n",
    "a control character in a head": HEAD + b"X: a\x01b\r\n\r\n",
    "a chunk's size that is not up to 15 plain digits": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0 \r\n\r\n",
    "a chunk's extension that is not ;name=value": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0;a b\r\n\r\n",
    "a chunk's size that ends without CR": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\n\r\n",
    "a trailer that is no list of fields": HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n",
}


@pytest.mark.parametrize("why", requests_target.STRICTER)
def test_each_rule_is_for_something_that_is_refused(why: str) -> None:
    data = REFUSED[why]
    assert requests_target.read([data]).rest in {"refused", "waits"}
    assert why in requests_target.stricter(data)


def test_nothing_ordinary_falls_under_a_rule() -> None:
    for data in (
        HEAD + b"Content-Length: 3\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"GET http://H/x HTTP/1.1\r\nHost: h\r\n\r\n",
    ):
        assert requests_target.read([data]).rest == "nothing"
        assert requests_target.stricter(data) == []


def test_a_disagreement_is_noticed() -> None:
    ours = requests_target.read([HEAD + b"\r\n"])
    theirs = requests_target.read([re.sub(b"/v1/x", b"/v1/y", HEAD) + b"\r\n"])
    with pytest.raises(AssertionError, match="/v1/y"):
        requests_target.compare(ours, theirs, "another", list)
