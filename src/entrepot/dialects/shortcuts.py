"""Shortcuts through JSON in OpenAI's form, for the requests and answers that are as nearly all are.

Each gives what the long way gives, or None, and then the long way decides. This file knows no shortcuts: where
shortcuts.c is compiled beside it, that is imported in its place. It is tested against the long ways.
"""

# (model, where its value begins and ends in the body, whether a stream is asked for, and usage in it)
AskedFor = tuple[str, int, int, bool, bool]
# (usage verbatim or b"", finish reason or "", what text_meters says of the usage, tier of service or "")
Answered = tuple[bytes, str, dict[str, int] | None, str]
# (texts to be counted, messages, those of them with a name, answers or 0, how long each may get or -1)
Prompted = tuple[list[str], int, int, int, int]


def asked_for(body: bytes) -> AskedFor | None:
    """What a request for text asks for. Its body is a JSON object that has no key twice, and names a model."""
    del body
    return None


def answered(body: bytes) -> Answered | None:
    """What a whole answer says of itself."""
    del body
    return None


def text_meters(usage: bytes) -> dict[str, int] | None:
    """The meters of a usage object that tells of nothing but text in and text out, and sums up."""
    del usage
    return None


def has_more_values(body: bytes, most: int) -> bool:
    """Whether JSON may hold more values than so many, a list or an object counting as four more, as they are slower.

    Commas and brackets in texts count, too.
    """
    return body.count(b",") + 4 * (body.count(b"[") + body.count(b"{")) > most


def prompted(body: bytes) -> Prompted | None:
    """What a request for text is estimated by, where all of it can be counted; estimates.py says how."""
    del body
    return None
