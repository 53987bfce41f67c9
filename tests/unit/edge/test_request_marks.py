"""What a client says about its request: only what is well formed counts, and nothing of it can break a header."""

import pytest

from entrepot.edge.request_marks import Marks, Parent, marks_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


def marks(*lines: str) -> Marks | None:
    return marks_of("\r\n".join(["POST /v1/chat/completions HTTP/1.1", "Host: x", *lines]).encode("latin-1"))


def parent(value: str, *more: str) -> Parent | None:
    found = marks(f"traceparent: {value}", *more)
    return None if found is None else found.parent


def test_nearly_every_request_has_none() -> None:
    assert marks() is None
    assert marks("X-Stainless-Lang: python", "Authorization: Bearer x-request-id: no") is None


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("X-Client-Request-Id", "x-client-request-id"),
        ("x-ms-client-request-id", "x-ms-client-request-id"),
        ("X-REQUEST-ID", "x-client-request-id"),
    ],
)
def test_a_clients_own_id_goes_back_beside_ours(sent: str, echoed: str) -> None:
    found = marks(f"{sent}:  a-1_b/{{9}}  ")
    assert found is not None
    assert found.id == "a-1_b/{9}"
    assert found.echo == f"{echoed}: a-1_b/{{9}}\r\n"


@pytest.mark.parametrize("value", ["", "a b", "a" * 129, "é", "a\tb", "\x85evil", "a\xa0b"])
def test_an_id_that_is_no_plain_word_is_none(value: str) -> None:
    assert marks(f"x-request-id: {value}") is None


def test_the_first_of_two_of_a_name_counts() -> None:
    found = marks("x-request-id: one", "x-request-id: two", "x-ms-client-request-id: three")
    assert found is not None
    assert found.echo == "x-client-request-id: one\r\nx-ms-client-request-id: three\r\n"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("03", True), ("02", False)])
def test_a_parent_says_whether_its_trace_is_recorded(flags: str, sampled: bool) -> None:
    assert parent(f"00-{TRACE}-{SPAN}-{flags}") == Parent(TRACE, SPAN, sampled)


def test_a_later_version_may_say_more() -> None:
    assert parent(f"01-{TRACE}-{SPAN}-01-what-comes") == Parent(TRACE, SPAN, True)


@pytest.mark.parametrize(
    "value",
    [
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-1",
        "nothing",
    ],
)
def test_a_parent_that_is_not_well_formed_is_none(value: str) -> None:
    assert parent(value) is None


@pytest.mark.parametrize(("value", "timed"), [("1", True), ("yes", True), ("0", False)])
def test_timings_are_asked_for(value: str, timed: bool) -> None:
    found = marks(f"x-entrepot-timing: {value}")
    assert (found is not None and found.timed) == timed
