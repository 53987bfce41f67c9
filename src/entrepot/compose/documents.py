"""Documents for customers and partners, from the books."""

from collections.abc import Callable

from entrepot.compose.books import open_current_books
from entrepot.compose.settings import Settings
from entrepot.flows.render_invoice import RenderedInvoice, render_invoice
from entrepot.flows.render_statement import RenderedStatement, render_statement
from entrepot.ports.books import Books


def render(settings: Settings, number: str, form: str, language: str) -> RenderedInvoice:
    """The document of an invoice of the current books. Raises: BooksUnavailable, LogDamaged, NotFound, BadInput."""
    with open_current_books(settings) as books:
        return renderer(settings)(books, number, form, language)


def renderer(settings: Settings) -> Callable[[Books, str, str, str], RenderedInvoice]:
    """(books, number, form, language) -> the document of an invoice. Raises: NotFound, BadInput."""
    console = settings.console_url.rstrip("/")

    def made(books: Books, number: str, form: str, language: str) -> RenderedInvoice:
        # Typst and its fonts are loaded where a document is made, and not before.
        from entrepot.adapters.typst_pages.typesetter import TypstTypesetter

        return render_invoice(books, number, form, language, TypstTypesetter(), console)

    return made


def render_of_partner(settings: Settings, number: str, form: str, language: str) -> RenderedStatement:
    """The document of a statement of the current books. Raises: BooksUnavailable, LogDamaged, NotFound, BadInput."""
    from entrepot.adapters.typst_pages.typesetter import TypstTypesetter

    with open_current_books(settings) as books:
        return render_statement(books, number, form, language, TypstTypesetter())
