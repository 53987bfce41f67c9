"""Printed documents as PDF."""

from datetime import UTC, datetime
from functools import cache
from importlib import resources

import manimgx_fonts
import manimgx_fonts_cjk
import msgspec
import typst

from entrepot.core.printed import PrintedInvoice


class TypstTypesetter:
    """See ports.typesetter. Fonts come from packages alone, never from the machine, so that bytes are the same."""

    def typeset(self, sheet: PrintedInvoice) -> bytes:
        """See ports.typesetter."""
        day = datetime.fromisoformat(sheet.day).replace(tzinfo=UTC)
        return typst.compile(
            resources.files(__package__).joinpath("invoice.typ").read_bytes(),
            font_paths=_fonts(),
            sys_inputs={"sheet": msgspec.json.encode(sheet).decode()},
            pdf_standards=["a-2a", "ua-1"],
            timestamp=day,
        )


@cache
def _fonts() -> typst.Fonts:
    """The fonts, found once."""
    folders = [str(resources.files(package)) for package in (manimgx_fonts, manimgx_fonts_cjk)]
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=folders)
