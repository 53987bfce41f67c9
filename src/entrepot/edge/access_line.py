"""The line of the access log as a value, and its two forms."""

import re

import msgspec

_ODD = re.compile(r'[\s"=\\]|^$')


class Line(msgspec.Struct, omit_defaults=True):
    """What is told of a request. Durations in µs: took, the whole; first, to the first event of a stream; upstream, to
    the end of the upstream's answer; flush, what the end of the answer waited for the usage log. admitted_tier: where
    it is billed at another one.
    """

    time: str
    event: str
    request_id: str
    route: str
    status: int
    took_us: int
    client_request_id: str = ""
    trace_id: str = ""
    error: str = ""
    outcome: str = ""
    customer: str = ""
    project: str = ""
    deployment: str = ""
    model: str = ""
    upstream: str = ""
    tier: str = ""
    key_id: str = ""
    source: str = ""
    meters: dict[str, int] = {}
    first_us: int = -1
    upstream_us: int = -1
    flush_us: int = -1
    admitted_tier: str = ""


as_json = msgspec.json.Encoder().encode


def as_text(line: Line) -> bytes:
    """The line as key=value, the meters each by its own name. What could be taken for more than one word is quoted."""
    told = [(name, value) for name in _NAMES if (value := getattr(line, name)) != _DEFAULTS.get(name)]
    return " ".join([f"{name}={_quoted(str(value))}" for name, value in (*told, *line.meters.items())]).encode()


_NAMES = tuple(name for name in Line.__struct_fields__ if name != "meters")
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Line) if not field.required}


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode() if _ODD.search(text) else text
