"""A printed invoice as one HTML file that needs no other: readable on a screen, and on paper."""

from collections.abc import Iterable
from html import escape
from importlib import resources
from string import Template

from entrepot.core.printed import Fact, Note, PrintedGroup, PrintedInvoice, PrintedLine, PrintedParty

_WIDTH = 6  # Columns of the table.


def html_of(sheet: PrintedInvoice) -> bytes:
    """The file, in UTF-8. Everything that is not markup of our own is escaped."""
    columns = zip(("number", "what", "figure", "figure", "figure soft", "figure"), sheet.columns, strict=True)
    *sums, total = sheet.sums
    payment = f"<h2>{escape(sheet.payment_heading)}</h2><dl>{_facts(sheet.payment)}</dl>" if sheet.payment else ""
    filled = Template(_part("invoice.html")).substitute(
        language=escape(sheet.language),
        style=_part("invoice.css"),
        title=escape(sheet.title),
        number=escape(sheet.number),
        day=escape(sheet.day),
        seller_name=escape(sheet.seller.name),
        seller=_party(sheet.seller),
        buyer=_party(sheet.buyer),
        facts=_facts(sheet.facts),
        headings="".join(f'<th scope="col" class="{kind}">{escape(text)}</th>' for kind, text in columns),
        groups="".join(map(_group, sheet.groups)),
        sums=_facts(sums),
        total_label=escape(total.label),
        total=escape(total.value),
        payment=payment,
        notes="".join(map(_note, sheet.notes)),
    )
    return filled.encode()


def _part(name: str) -> str:
    return resources.files(__package__).joinpath("templates", name).read_text("utf-8")


def _party(party: PrintedParty) -> str:
    lines = "".join(f"<br>{escape(line)}" for line in party.lines)
    return f"<h2>{escape(party.role)}</h2><p><b>{escape(party.name)}</b>{lines}</p>"


def _facts(facts: Iterable[Fact]) -> str:
    return "".join(f"<div><dt>{escape(fact.label)}</dt><dd>{escape(fact.value)}</dd></div>" for fact in facts)


def _note(note: Note) -> str:
    command = f" <code>{escape(note.command)}</code>" if note.command else ""
    return f"<p><b>{escape(note.label)}</b> {escape(note.value)}{command}</p>"


def _group(group: PrintedGroup) -> str:
    heading = f'<tr class="group"><th scope="rowgroup" colspan="{_WIDTH}">{escape(group.heading)}</th></tr>'
    return f"<tbody>{heading}{''.join(map(_line, group.lines))}</tbody>"


def _line(line: PrintedLine) -> str:
    number = f'<a href="{escape(line.link)}">{escape(line.number)}</a>' if line.link else escape(line.number)
    clause = f"<small>{escape(line.clause)}</small>" if line.clause else ""
    per = f"<small>{escape(line.per)}</small>" if line.per else ""
    return (
        f'<tr id="line-{escape(line.number)}"><td class="number">{number}</td>'
        f'<td class="what">{escape(line.what)}{clause}</td>'
        f'<td class="figure">{escape(line.quantity)}</td><td class="figure">{escape(line.price)}{per}</td>'
        f'<td class="figure soft">{escape(line.exact)}</td><td class="figure">{escape(line.amount)}</td></tr>'
    )
