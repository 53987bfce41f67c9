"""Shortcuts through the heads of requests and answers; shortcuts.c, compiled beside it, is imported in its place."""

from collections.abc import Sequence

from entrepot.core.capacity import Standing


def answer_of(line: str, media_type: str, fields: str, request_id: str, took_ms: int, body: bytes) -> bytes | None:
    """What http_answers.whole_answer makes, with its status line; None, and then the long way makes it."""
    del line, media_type, fields, request_id, took_ms, body
    return None


def body_behind(data: bytes, before: bytes, after: bytes) -> bytes | None:
    """The body, where data is one request and no more, whose head is before, its body's length in digits, and after.

    None for anything else, which the long way reads. after: with the empty line behind the head.
    """
    del data, before, after
    return None


def rate_limits_of(standings: Sequence[Standing], is_azure: bool) -> str | None:
    """What limit_fields says of limits of requests and tokens; None, and then the long way says it."""
    del standings, is_azure
    return None
