"""A partner's statement as a document."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput, NotFound
from entrepot.core.parties import Party
from entrepot.core.periods import parse_instant
from entrepot.core.statements import Statement
from entrepot.core.world import World
from entrepot.ports.books import Books
from entrepot.ports.typesetter import Typesetter
from entrepot.printing.html import html_of
from entrepot.printing.phrases import check_language
from entrepot.printing.statement_sheet import Parties, print_statement

STATEMENT_MEDIA_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "pdf": "application/pdf"}


class RenderedStatement(NamedTuple):
    """A document and the name of a file for it."""

    content: bytes
    media_type: str
    file_name: str


def render_statement(books: Books, number: str, form: str, language: str, typesetter: Typesetter) -> RenderedStatement:
    """The document, with the operator and the agreements as they were declared when it was issued.

    Raises: NotFound, BadInput for an unknown form or language.
    """
    if form not in STATEMENT_MEDIA_TYPES:
        forms = ", ".join(STATEMENT_MEDIA_TYPES)
        raise BadInput(f"a statement is rendered as {forms}, not as {form!r}", param="format")
    check_language(language)
    statement = next((item for item in books.statements() if item.number == number), None)
    if statement is None:
        raise NotFound(f"there is no statement {number}; `entrepot statement list` shows those there are")
    name = f"{number}.{form}" if form == "json" else f"{number}.{language}.{form}"
    content = _content(books, statement, form, language, typesetter)
    return RenderedStatement(content, STATEMENT_MEDIA_TYPES[form], name)


def _content(books: Books, statement: Statement, form: str, language: str, typesetter: Typesetter) -> bytes:
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(statement, order="deterministic"), indent=2) + b"\n"
    world = books.world_at(parse_instant(statement.issued_at))
    assert world is not None, "a statement was issued without a world"
    sheet = print_statement(statement, language, _parties(statement, world))
    return html_of(sheet) if form == "html" else typesetter.typeset(sheet)


def _parties(statement: Statement, world: World) -> Parties:
    """Statements are of months in UTC, and so is the day of issue."""
    issued = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=parse_instant(statement.issued_at))
    return Parties(
        day=issued.date(),
        operator=world.operator.party or Party(name=world.operator.name, country=""),
        agreements={agreement.id: agreement for agreement in world.agreements},
    )
