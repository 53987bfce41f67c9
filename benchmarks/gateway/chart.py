"""A line chart as SVG, both axes logarithmic or not, without a library."""

import math
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

Place = Callable[[float, float], tuple[float, float]]

WIDTH, HEIGHT = 560, 312
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 140, 46, 44
_COLOURS = ("#1a5fb4", "#c64600", "#26a269", "#813d9c")


def chart(title: str, across: str, up: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """An SVG of named lines of (x, y), x on a logarithmic axis and y from 0."""
    xs = sorted({x for points in lines.values() for x, _ in points})
    y_max = _nice_above(max(y for points in lines.values() for _, y in points))
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        low, high = math.log(xs[0]), math.log(xs[-1])
        share = (math.log(x) - low) / (high - low) if high > low else 0.5
        return _LEFT + share * (right - _LEFT), bottom - y / y_max * (bottom - _TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(_LEFT, 18, title, weight="bold", size=13),
        _text((_LEFT + right) / 2, HEIGHT - 8, across, anchor="middle"),
        _text(_LEFT - 52, _TOP - 11, up, size=10),
    ]
    for step in range(5):
        y = y_max * step / 4
        _, at = place(xs[0], y)
        parts.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 6, at + 4, f"{y:g}", anchor="end"))
    for x in xs:
        at, _ = place(x, 0)
        parts.append(f'<line x1="{at:.1f}" y1="{bottom}" x2="{at:.1f}" y2="{bottom + 4}" stroke="#888"/>')
        parts.append(_text(at, bottom + 16, _in_short(x), anchor="middle"))
    parts += _drawn(lines, place)
    return "\n".join([*parts, "</svg>", ""])


def _drawn(lines: Mapping[str, Sequence[tuple[float, float]]], place: Place) -> list[str]:
    parts = []
    ends: list[float] = []
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, y) for x, y in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        at = placed[-1][1] + 4
        while any(abs(at - other) < 13 for other in ends):
            at += 13
        ends.append(at)
        parts.append(_text(placed[-1][0] + 8, at, name, colour=colour))
    return parts


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 11,
    colour: str = "#333",
) -> str:
    how = f'text-anchor="{anchor}" font-weight="{weight}" font-size="{size}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {how}>{escape(text)}</text>'


def _nice_above(value: float) -> float:
    """The next of 1, 2, 4, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 4, 8, 10) if factor * power >= value)


def _in_short(value: float) -> str:
    if value >= 1000 and value % 1000 == 0:
        return f"{value / 1000:g}k"
    return f"{value:g}"
