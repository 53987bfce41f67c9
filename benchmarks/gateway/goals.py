"""What the request path is to reach, held against what a run found."""

from collections.abc import Iterator

import msgspec

from benchmarks.gateway.compared import CONTENDERS, DIRECT, FROM_MEMORY, OURS, YARDSTICK
from benchmarks.gateway.results import Findings, Spread, short

REQUEST, EVENT = "CPU per request, µs", "CPU per event, µs"
NGINX_REQUEST_MAX = 1.6
NGINX_EVENT_MAX = 1.15
LITELLM_REQUEST_MAX = 1 / 250
LITELLM_EVENT_MAX = 1 / 20
GATEWAY_REQUEST_MAX = 0.5
STREAMS_MIN = 1000
STREAM_KB_MAX = 10.0


class Goal(msgspec.Struct, frozen=True):
    """One goal. met: None when the run did not measure it."""

    what: str
    wanted: str
    found: str
    met: bool | None


def goals(findings: Findings) -> list[Goal]:
    """Every goal, met or not."""
    fastest = fastest_gateway(findings)
    return [
        _ratio(findings, "CPU per plain request, to nginx", "requests", REQUEST, YARDSTICK, NGINX_REQUEST_MAX),
        _ratio(findings, "CPU per paced event, to nginx", "events", EVENT, YARDSTICK, NGINX_EVENT_MAX),
        _ratio(findings, "CPU per plain request, to LiteLLM", "requests", REQUEST, "litellm", LITELLM_REQUEST_MAX),
        _ratio(findings, "CPU per paced event, to LiteLLM", "events", EVENT, "litellm", LITELLM_EVENT_MAX),
        _ratio(findings, "CPU per event at full speed, to LiteLLM", "burst", EVENT, "litellm", LITELLM_EVENT_MAX),
        _ratio(
            findings,
            f"CPU per plain request, to the fastest other LLM gateway ({fastest or 'none measured'})",
            "requests",
            REQUEST,
            fastest,
            GATEWAY_REQUEST_MAX,
        ),
        _latency(findings, OURS, "usage on disk before it ends", fastest),
        _latency(findings, FROM_MEMORY, "usage in memory before it ends", fastest),
        _streams(findings),
        _memory(findings),
    ]


def fastest_gateway(findings: Findings) -> str:
    """The other LLM gateway that spends the least on a plain request; "" when none was measured."""
    found = {
        name: value
        for name in findings.targets("requests")
        if CONTENDERS[name].kind == "gateway" and (value := findings.median("requests", name, REQUEST))
    }
    return min(found, key=lambda name: found[name], default="")


def _ratio(findings: Findings, text: str, phase: str, what: str, other: str, at_most: float) -> Goal:
    wanted = f"≤ {at_most:.3g}" if at_most > 0.1 else f"≤ 1/{1 / at_most:.0f}"
    found = findings.compared(phase, what, OURS, other)
    if found is None:
        return Goal(text, wanted, "not measured", None)
    return Goal(text, wanted, _said(found), found.median <= at_most)


def _said(ratio: Spread) -> str:
    if ratio.median > 0.1:
        return f"{ratio.median:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"
    return f"1/{1 / ratio.median:.0f} (1/{1 / ratio.low:.0f}–1/{1 / ratio.high:.0f})"


def _latency(findings: Findings, name: str, how: str, fastest: str) -> Goal:
    text, what = f"added p50 at 500 a second, µs, {how}", "added p50, µs"
    ours, theirs = (findings.median("latency", one, what) if one else None for one in (name, fastest))
    if ours is None or theirs is None:
        return Goal(text, f"≤ that of {fastest or 'the fastest gateway'}", "not measured", None)
    return Goal(text, f"≤ that of {fastest}, {short(theirs)}", short(ours), ours <= theirs)


def _streams(findings: Findings) -> Goal:
    text, wanted = "paced streams on one core, none stalled, no frame lost", f"≥ {STREAMS_MIN}"
    found = findings.by_round("streams", OURS).values()
    if not found:
        return Goal(text, wanted, "not measured", None)
    streams, stalled, lost = (int(f(each[what] for each in found)) for f, what in (
        (min, "streams"), (max, "stalled"), (max, "lost events")))  # fmt: skip
    said = (
        f"{streams}, {stalled} stalled, {lost} lost; {short(max(each['share of a core'] for each in found))} of a core"
    )
    return Goal(text, wanted, said, streams >= STREAMS_MIN and stalled == lost == 0)


def _memory(findings: Findings) -> Goal:
    text, wanted = "memory per open stream, kB", f"≤ {STREAM_KB_MAX:.0f}"
    found = findings.median("memory", OURS, "RSS per stream, kB")
    if found is None:
        return Goal(text, wanted, "not measured", None)
    return Goal(text, wanted, short(found), found <= STREAM_KB_MAX)


def goal_table(found: list[Goal]) -> str:
    """The goals as a Markdown table."""
    lines = ["| goal, everything on | wanted | found | |", "|---|---|---|---|"]
    verdicts = {True: "met", False: "**not met**", None: "–"}
    lines += [f"| {goal.what} | {goal.wanted} | {goal.found} | {verdicts[goal.met]} |" for goal in found]
    return "\n".join(lines)


def standing_table(findings: Findings) -> str:
    """What ours spends for each unit that another spends, as a Markdown table."""
    columns = (
        ("per request", "requests", REQUEST),
        ("per 32 kB request", "body", REQUEST),
        ("per paced event", "events", EVENT),
        ("per event at full speed", "burst", EVENT),
    )
    lines = [
        "| ours ÷ | does | " + " | ".join(text for text, *_ in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for name in _others(findings):
        cells = [findings.compared(phase, what, OURS, name) for _, phase, what in columns]
        lines.append(f"| {name} | {CONTENDERS[name].does} | " + " | ".join(_said(c) if c else "" for c in cells) + " |")
    return "\n".join(lines)


def _others(findings: Findings) -> Iterator[str]:
    names = dict.fromkeys(name for phase in ("requests", "events", "burst") for name in findings.targets(phase))
    return (name for name in names if name not in {DIRECT, OURS})
