"""PDF pages: what can be read off them, in every language, and that they are always the same."""

import io
import re
import unicodedata
from typing import Any

import msgspec
import pytest
from pypdf import PdfReader

from entrepot.adapters.typst_pages.typesetter import TypstTypesetter
from entrepot.core.printed import PrintedInvoice
from entrepot.printing.phrases import LANGUAGES
from entrepot.printing.sheet import print_invoice
from tests.support.paper import BACKGROUND, INVOICE, SELLER

MANY = 400


def test_the_same_sheet_is_the_same_bytes() -> None:
    sheet = print_invoice(INVOICE, "zh", BACKGROUND)
    assert TypstTypesetter().typeset(sheet) == TypstTypesetter().typeset(sheet)


@pytest.mark.parametrize("code", sorted(LANGUAGES))
def test_everything_on_the_sheet_can_be_read_off_the_page(code: str) -> None:
    sheet = print_invoice(INVOICE, code, BACKGROUND)
    reader = PdfReader(io.BytesIO(TypstTypesetter().typeset(sheet)))
    read = squeezed("".join(page.extract_text() for page in reader.pages))
    missing = [text for text in texts(sheet) if squeezed(text) not in read]
    assert missing == []
    assert reader.metadata is not None
    assert reader.metadata.title == f"{sheet.title} {sheet.number}"
    assert reader.metadata.author == "Contoso Cloud GmbH"
    assert str(reader.metadata["/CreationDate"]) == "D:20240603000000Z"
    assert str(reader.root_object["/Lang"]) in {sheet.language, code}


def test_a_long_table_repeats_its_head_and_numbers_its_pages() -> None:
    lines = tuple(msgspec.structs.replace(INVOICE.lines[0], number=number) for number in range(1, MANY + 1))
    sheet = print_invoice(msgspec.structs.replace(INVOICE, lines=lines), "en", BACKGROUND)
    pages = PdfReader(io.BytesIO(TypstTypesetter().typeset(sheet))).pages
    assert len(pages) > 10
    for number, page in enumerate(pages, start=1):
        text = page.extract_text()
        assert f"Page {number} of {len(pages)}" in text
        assert "Unit price" in text
        assert "Usage in May 2024" in text or number == len(pages)
    assert sum(page.extract_text().count("1,234,567") for page in pages) == MANY


def test_a_word_that_is_too_long_for_its_place_goes_on_in_the_next_line() -> None:
    """It would run into what stands beside it. A word of usual length is read off as it is, without signs in it."""
    name = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
    lines = tuple(msgspec.structs.replace(line, model=name) for line in INVOICE.lines[:2])
    party = msgspec.structs.replace(SELLER, name=name)
    made = msgspec.structs.replace(INVOICE, lines=lines, seller=party, buyer=party)
    (page,) = PdfReader(io.BytesIO(TypstTypesetter().typeset(print_invoice(made, "en", BACKGROUND)))).pages
    text = page.extract_text()
    assert text.count(name) <= 1  # The footer has room for it.
    assert re.sub(r"[\N{ZERO WIDTH SPACE}\n]", "", text).count(name) >= 5
    assert "tokyo@2024-01-01" in text
    assert "audio_output_tokens" in text


def test_every_font_is_in_the_file() -> None:
    reader = PdfReader(io.BytesIO(TypstTypesetter().typeset(print_invoice(INVOICE, "ja", BACKGROUND))))
    pages: list[Any] = list(reader.pages)
    fonts = [font.get_object() for page in pages for font in page["/Resources"]["/Font"].values()]
    inner = [font["/DescendantFonts"][0].get_object() for font in fonts]
    assert {re.sub(r"^/[A-Z]{6}\+", "", str(font["/BaseFont"]))[:8] for font in inner} == {"NotoSans"}
    for font in inner:
        assert {"/FontFile2", "/FontFile3"} & set(font["/FontDescriptor"].get_object())


def texts(sheet: PrintedInvoice) -> list[str]:
    """Every text of a sheet that is on the page as it stands."""
    found = [sheet.title, sheet.number, *sheet.columns, sheet.page.format(page=1, pages=1)]
    for party in (sheet.seller, sheet.buyer):
        found += [party.role, party.name, *party.lines]
    for fact in (*sheet.facts, *sheet.sums, *sheet.payment):
        found += [fact.label, fact.value]
    for note in sheet.notes:
        found += [note.label, note.value, note.command]
    for group in sheet.groups:
        found.append(group.heading)
        for line in group.lines:
            found += [line.number, line.what, line.clause, line.quantity, line.price, line.per, line.exact, line.amount]
    return [text for text in found if text]


def squeezed(text: str) -> str:
    """The text without blanks: a page breaks lines where it likes. Signs that fonts share are one sign."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))
