"""Setting documents in pages."""

from typing import Protocol

from entrepot.core.printed import PrintedInvoice


class Typesetter(Protocol):
    """Makes pages of printed documents."""

    def typeset(self, sheet: PrintedInvoice) -> bytes:
        """The invoice as a PDF with its fonts in it; the same sheet makes the same bytes."""
        ...
