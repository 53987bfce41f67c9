"""What a printed invoice says."""

import msgspec
import pytest

from entrepot.core.errors import BadInput
from entrepot.core.invoices import Conversion
from entrepot.core.printed import Fact, Note, PrintedLine
from entrepot.printing.html import html_of
from entrepot.printing.sheet import print_invoice
from tests.support.paper import BACKGROUND, CREDIT, INVOICE


def test_lines_stand_in_groups_with_their_words_prices_and_clauses() -> None:
    sheet = print_invoice(INVOICE, "en", BACKGROUND)
    assert [group.heading for group in sheet.groups] == [
        "Usage in May 2024",
        "Adjustments for April 2024",
        "Contract terms",
    ]
    assert sheet.groups[0].lines == (
        PrintedLine(
            number="1",
            what="gpt-4 · Input tokens · peak",
            clause="Price book list, version 2024-01-01, gpt-4 / input_tokens / peak",
            quantity="1,234,567",
            price="30.00",
            per="per million",
            exact="37.03701",
            amount="37.04",
        ),
        PrintedLine(
            number="2",
            what="gpt-4 · Output tokens, audio · batch",
            clause="Price book list, version 2024-01-01, gpt-4 / audio_output_tokens / batch; "
            "Price book list, version 2024-05-10, gpt-4 / audio_output_tokens / batch",
            quantity="1,000",
            price="as agreed",
            per="",
            exact="1.50",
            amount="1.50",
        ),
        PrintedLine(
            number="3",
            what="gpt-4 · Images · inputs above 200,000 tokens",
            clause="",
            quantity="12",
            price="0.04",
            per="each",
            exact="0.48",
            amount="0.48",
        ),
    )
    assert sheet.groups[1].lines[0].quantity == "-500"
    rest = sheet.groups[2].lines[0]
    assert (rest.what, rest.quantity, rest.price) == ("Rest of the minimum charge for May 2024", "", "")


def test_sums_payment_and_notes() -> None:
    sheet = print_invoice(INVOICE, "de", BACKGROUND)
    assert sheet.sums == (
        Fact("Nettobetrag", "1.000,00\u00a0$"),
        Fact("MwSt 19\u00a0% auf 39,00\u00a0$", "7,41\u00a0$"),
        Fact("Gesamtbetrag", "1.007,41\u00a0$"),
    )
    assert Fact("IBAN", "DE89 3704 0044 0532 0130 00") in sheet.payment
    assert sheet.payment[-1] == Fact("Zahlbar bis", "3. Juli 2024")
    assert "0,00201\u00a0$" in sheet.notes[0].value
    assert sheet.notes[1].command == "entrepot invoice show 2024-05-000001 --line N --requests"


def test_without_parties_there_are_names_and_nothing_to_pay_to() -> None:
    bare = msgspec.structs.replace(INVOICE, seller=msgspec.UNSET, buyer=msgspec.UNSET)
    sheet = print_invoice(bare, "en", BACKGROUND)
    assert (sheet.seller.name, sheet.seller.lines) == ("Contoso", ())
    assert (sheet.buyer.name, sheet.buyer.lines, sheet.payment) == ("Tokyo", (), ())


def test_prices_in_another_currency_have_its_sign_and_the_rates_stand_below() -> None:
    rates = (Conversion("2024-04", "EUR", "1.0735"), Conversion("2024-05", "EUR", "1.08125"))
    sheet = print_invoice(msgspec.structs.replace(INVOICE, conversions=rates), "de", BACKGROUND)
    assert sheet.groups[0].lines[0].price == "30,00\u00a0€"
    assert sheet.notes[1] == Note("Wechselkurse", "1 EUR = 1,0735 USD (April 2024); 1 EUR = 1,08125 USD (Mai 2024)")


def test_what_is_given_back_is_not_asked_for() -> None:
    credit = msgspec.structs.replace(INVOICE, total="-1.00")
    assert print_invoice(credit, "en", BACKGROUND).payment == ()


def test_a_credit_note_says_what_it_corrects_and_why() -> None:
    sheet = print_invoice(CREDIT, "de", BACKGROUND)
    assert sheet.title == "Rechnungskorrektur"
    assert {Fact("Zu Rechnung", "2024-05-000001"), Fact("Grund", "Audio was cut short")} <= set(sheet.facts)
    (group,) = sheet.groups
    assert group.heading == "Gutgeschrieben für Mai 2024"
    assert [(line.number, line.what, line.quantity, line.price, line.amount) for line in group.lines] == [
        ("2", "gpt-4 · Ausgabe-Token, Ton · Stapel", "", "", "-1,50"),
        ("5", "Gutgeschrieben für Mai 2024", "", "", "-61,00"),
    ]
    assert sheet.sums[-1] == Fact("Gutgeschriebener Betrag", "-62,79\u00a0$")
    assert sheet.payment == ()
    assert sheet.notes[-1].command == "entrepot invoice show 2024-05-000001 --line N --requests"


def test_a_line_links_to_its_requests_where_the_console_is_known() -> None:
    sheet = print_invoice(INVOICE, "en", BACKGROUND._replace(console="https://console.example"))
    assert sheet.groups[0].lines[1].link == "https://console.example/invoices/2024-05-000001?line=2#requests"
    assert b'<a href="https://console.example/invoices/2024-05-000001?line=2#requests">2</a>' in html_of(sheet)


def test_html_needs_no_other_file_and_escapes_what_is_not_ours() -> None:
    page = html_of(print_invoice(INVOICE, "ja", BACKGROUND)).decode()
    assert '<html lang="ja">' in page
    assert "株式会社東京 &lt;Modelle&gt; &amp; Söhne" in page
    assert "src=" not in page
    assert "url(" not in page
    assert "http" not in page
    assert page.count("<tr id=") == len(INVOICE.lines)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(BadInput, match="not in 'tlh'"):
        print_invoice(INVOICE, "tlh", BACKGROUND)


@pytest.mark.parametrize(
    ("language", "label", "heading"),
    [
        ("en", "Reverse charge on $39.00", "Reverse charge"),
        ("de", "Reverse Charge auf 39,00\N{NO-BREAK SPACE}$", "Steuerschuldnerschaft des Leistungsempfängers"),
        ("ja", "リバースチャージ方式（対象額 $39.00）", "リバースチャージ方式"),
    ],
)
def test_an_invoice_says_where_its_customer_owes_the_tax(language: str, label: str, heading: str) -> None:
    tax = msgspec.structs.replace(INVOICE.taxes[0], percent="0", amount="0.00", reverse_charge=True)
    sheet = print_invoice(msgspec.structs.replace(INVOICE, taxes=(tax,)), language, BACKGROUND)
    assert sheet.sums[1].label == label
    assert heading in [note.label for note in sheet.notes]
    empty = msgspec.structs.replace(tax, net="0.00", lines=())
    sheet = print_invoice(msgspec.structs.replace(INVOICE, taxes=(empty,)), language, BACKGROUND)
    assert heading not in [note.label for note in sheet.notes]
