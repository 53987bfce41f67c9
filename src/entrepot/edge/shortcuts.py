"""A shortcut through the head of an answer; shortcuts.c, compiled beside it, is imported in its place."""


def answer_of(line: str, media_type: str, fields: str, request_id: str, took_ms: int, body: bytes) -> bytes | None:
    """What http_answers.whole_answer makes, with its status line; None, and then the long way makes it."""
    del line, media_type, fields, request_id, took_ms, body
    return None
