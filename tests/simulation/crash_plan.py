"""What is asked in a crash run, decided by its seed: each request, when it begins, and whether its client stays."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

SPAN_S = 3.0  # Requests begin within this time.

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
RESPONSES = "/v1/responses"
IMAGES = "/v1/images/generations"
SPEECH = "/v1/audio/speech"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
TEXT = (CHAT, COMPLETIONS, RESPONSES)

_TEXT_WEIGHTS = (6, 1, 2)
_REPEATED = 4  # So many questions are asked again and again where answers are kept.


@dataclass(frozen=True)
class Planned:
    """One request: when it begins, what it asks, and when its client leaves.

    leave_after: so many lines of a stream; leave_s: so long, whatever has come. by_form: it is sent as a form, with a
    recording. with_guest: by the key that may be revoked.
    """

    at_s: float
    path: str
    body: dict[str, object]
    leave_after: int | None = None
    leave_s: float | None = None
    by_form: bool = False
    with_guest: bool = False

    @property
    def streams(self) -> bool:
        """Whether the answer comes in pieces."""
        return bool(self.body.get("stream")) or "stream_format" in self.body

    @property
    def ends_well(self) -> bool:
        """Whether its upstream serves it to the end."""
        text = json.dumps(self.body)
        return "break=" not in text and "status=" not in text and self.body["model"] != "late"


def plan_requests(chance: Random, count: int) -> list[Planned]:
    """A mix of everything, in the order of time."""
    kinds = list(_KINDS)
    weights = [weight for _, weight in _KINDS.values()]
    chosen = chance.choices(kinds, weights, k=count)
    return sorted((_KINDS[kind][0](chance) for kind in chosen), key=lambda request: request.at_s)


def _words(chance: Random) -> str:
    return " ".join(["word"] * chance.randint(1, 60))


def _pace(chance: Random) -> str:
    return f"chunks={chance.randint(1, 20)} delay={chance.choice((0, 0.005, 0.02, 0.05))}"


def _text(chance: Random, model: str, script: str, *, streams: bool, path: str = "", **more: object) -> Planned:
    """A request for text, to any of the operations that give some."""
    path = path or chance.choices(TEXT, _TEXT_WEIGHTS)[0]
    prompt = f"{_words(chance)} [[{script}]]"
    body: dict[str, object] = {"model": model} | more
    if path == CHAT:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt" if path == COMPLETIONS else "input"] = prompt
    if streams:
        body["stream"] = True
        if path != RESPONSES and chance.random() < 0.5:
            body["stream_options"] = {"include_usage": True}
    return Planned(chance.uniform(0, SPAN_S), path, body)


def _whole(chance: Random) -> Planned:
    return _text(chance, "chat", _pace(chance), streams=False)


def _stream(chance: Random) -> Planned:
    return _text(chance, "chat", _pace(chance), streams=True)


def _by_guest(chance: Random) -> Planned:
    planned = _text(chance, chance.choice(("chat", "late")), _pace(chance), streams=chance.random() < 0.5)
    return Planned(planned.at_s, planned.path, planned.body, with_guest=True)


def _left(chance: Random) -> Planned:
    """A client that goes, of a stream or before a whole answer has come, under any of the rules."""
    model = chance.choice(("chat", "chat", "plain", "free", "pair"))
    streams = chance.random() < 0.7
    planned = _text(chance, model, f"chunks={chance.randint(1, 20)} delay=0.02", streams=streams)
    after = chance.randint(0, 20) if streams else None
    return Planned(planned.at_s, planned.path, planned.body, after, None if streams else chance.uniform(0.001, 0.05))


def _unbilled(chance: Random) -> Planned:
    return _text(chance, "free", _pace(chance), streams=chance.random() < 0.7)


def _embedded(chance: Random) -> Planned:
    body: dict[str, object] = {"model": "embeddings", "input": f"{_words(chance)} [[{_pace(chance)}]]"}
    return Planned(chance.uniform(0, SPAN_S), "/v1/embeddings", body)


def _broken(chance: Random) -> Planned:
    script = f"{_pace(chance)} break={chance.randint(0, 20)}"
    return _text(chance, chance.choice(("chat", "chat", "plain", "free")), script, streams=chance.random() < 0.5)


def _partly_cached(chance: Random) -> Planned:
    return _text(chance, "chat", f"{_pace(chance)} cached=1", streams=chance.random() < 0.5)


def _refused(chance: Random) -> Planned:
    status = chance.choice((400, 500, 503))
    return _text(chance, chance.choice(("chat", "plain")), f"status={status}", streams=chance.random() < 0.5)


def _again(chance: Random) -> Planned:
    """One of a few questions, whose answer may be kept."""
    same = Random(chance.randrange(_REPEATED))
    planned = _text(same, "again", _pace(same), streams=same.random() < 0.5, path=CHAT)
    return Planned(chance.uniform(0, SPAN_S), planned.path, planned.body)


def _of_two(chance: Random) -> Planned:
    """Asked of two upstreams, of which one may be slow, refuse, or break before it says anything."""
    one = chance.choice(("pair-east", "pair-west"))
    misfortune = chance.choice(("delay=0", "delay=0.05", "delay=0.1", "status=503", "break=0", "break=0 reset=1"))
    script = f"{_pace(chance)} " + " ".join(f"{one}:{word}" for word in misfortune.split())
    return _text(chance, "pair", script, streams=chance.random() < 0.6)


def _plain(chance: Random) -> Planned:
    """Asked of an upstream that cannot be asked afterwards, and may say nothing of usage at all."""
    usage = chance.choice(("", "", " usage=no"))
    return _text(chance, "plain", f"{_pace(chance)}{usage}", streams=chance.random() < 0.6)


def _untold(chance: Random) -> Planned:
    """Asked of upstreams that can be asked afterwards, and say nothing of usage, or nothing that sums up."""
    model, usage = chance.choice(("chat", "chat", "free", "pair")), chance.choice(("no", "no", "bad"))
    return _text(chance, model, f"{_pace(chance)} usage={usage}", streams=chance.random() < 0.7)


def _media(chance: Random) -> Planned:
    at_s, script = chance.uniform(0, SPAN_S), f"[[{_pace(chance)}]]"
    kind = chance.choice(("images", "images", "speech", "recording", "moderations", "rerank"))
    body: dict[str, object] = {"model": "media"}
    if kind == "images":
        no_usage = chance.choice(("", "[[usage=no]]"))
        body |= {"prompt": f"a cat {script} {no_usage}"}
        body |= {"n": 2} if no_usage or chance.random() < 0.5 else {"stream": True}
        return Planned(at_s, IMAGES, body)
    if kind == "speech":
        body |= {"input": f"{_words(chance)} {script} [[pieces={chance.randint(1, 10)}]]", "voice": "alloy"}
        body |= {} if chance.random() < 0.7 else {"stream_format": "sse"}
        return Planned(at_s, SPEECH, body)
    if kind == "recording":
        body |= {"prompt": script}
        body |= {} if chance.random() < 0.5 else {"stream": "true"}
        return Planned(at_s, TRANSCRIPTIONS, body, by_form=True)
    if kind == "moderations":
        return Planned(at_s, "/v1/moderations", body | {"input": f"fine {script}"})
    return Planned(at_s, "/v1/rerank", body | {"query": f"which {script}", "documents": ["this", "that"]})


_KINDS: dict[str, tuple[Callable[[Random], Planned], int]] = {
    "whole": (_whole, 16),
    "stream": (_stream, 16),
    "guest": (_by_guest, 6),
    "left": (_left, 14),
    "unbilled": (_unbilled, 5),
    "embedded": (_embedded, 6),
    "broken": (_broken, 5),
    "partly cached": (_partly_cached, 4),
    "refused": (_refused, 3),
    "again": (_again, 8),
    "of two": (_of_two, 14),
    "plain": (_plain, 10),
    "untold": (_untold, 10),
    "media": (_media, 10),
}
