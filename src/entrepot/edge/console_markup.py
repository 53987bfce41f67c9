"""Pieces of the console's pages: values in, HTML out."""

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template

from entrepot.core.money import format_minor, format_pico, grouped, round_to_minor


def asset(name: str) -> bytes:
    """A file of the templates."""
    return resources.files(__package__).joinpath("templates", name).read_bytes()


def fill(name: str, **values: str) -> str:
    """A template with its places filled. values are markup: escape what is not ours."""
    return Template(asset(name).decode()).substitute(values)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str, numbers: Sequence[int] = ()) -> str:
    """Rows of markup under headings, or a sentence when there are none. numbers: the columns set flush right."""
    if not rows:
        return f'<p class="empty">{empty}</p>'
    head = "".join(f"<th{_flush(at in numbers)}>{escape(text)}</th>" for at, text in enumerate(headings))
    body = "".join(
        "<tr>" + "".join(f"<td{_flush(at in numbers)}>{cell}</td>" for at, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _flush(right: bool) -> str:
    return ' class="number"' if right else ""


def name(text: str, more: str = "", kind: str = "") -> str:
    """A text that may be long and wraps, and what more is to be said of it. more: markup; kind: soft, wide or none."""
    return f'<div class="name {kind}">{escape(text)}{f"<small>{more}</small>" if more else ""}</div>'


def tile(label: str, value: str, below: str = "") -> str:
    """A large figure with its name. value and below are markup."""
    return f'<div class="tile"><div class="label">{escape(label)}</div><div class="value">{value}</div>{below}</div>'


def shown(most: int, rows: Sequence[object]) -> str:
    """How many of the rows are shown, where that is not all."""
    return f"<small>{spaced(most)} of {spaced(len(rows))}</small>" if len(rows) > most else ""


def bar(part: int, whole: int) -> str:
    """How large a part is of a whole, as a bar."""
    width = 100 * part // whole if whole else 0
    rest = f'<rect class="fill" width="{max(width, 1 if part else 0)}" height="6" rx="1"/>'
    track = '<rect class="track" width="100" height="6" rx="1"/>'
    return f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">{track}{rest}</svg>'


def columns(counts: Sequence[int]) -> str:
    """Counts as columns side by side, the newest on the right."""
    top = max([*counts, 1])
    drawn = []
    for at, count in enumerate(counts):
        height = max(38 * count // top, 2)
        kind = "" if count else ' class="none"'
        drawn.append(f'<rect{kind} x="{at * 10}" y="{40 - height}" width="7" height="{height}" rx="1"/>')
    label = f'role="img" aria-label="tokens in each of the last {len(counts)} hours"'
    return f'<svg viewBox="0 0 {len(counts) * 10} 40" preserveAspectRatio="none" {label}>{"".join(drawn)}</svg>'


def badge(text: str, mood: str) -> str:
    """A word with a mood: good, bad, warn or none."""
    return f'<span class="badge {mood}">{escape(text)}</span>'


def spaced(number: int | str) -> str:
    """A number with thin spaces between its thousands."""
    return grouped(str(number)).replace(",", "\u2009")


def money(pico: int, currency: str) -> str:
    """An amount in the currency's digits, or exact where it is less than half of its smallest unit."""
    rounded = round_to_minor(pico, currency)
    if pico and not rounded:
        return format_pico(pico)
    return spaced(format_minor(rounded, currency))


def moment(instant: str) -> str:
    """An RFC 3339 time as people read it: 2024-03-05 08:00:00."""
    return escape(instant[:19].replace("T", " "))
