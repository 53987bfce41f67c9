"""Documents of a closed month, through the command and through the console."""

import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pypdf import PdfReader
from starlette.testclient import TestClient

from entrepot.cli.main import main
from entrepot.compose.control_plane import control_app
from entrepot.compose.settings import load_settings
from entrepot.compose.tokens import admin_token
from tests.support.offices import write_usage, write_world
from tests.support.worlds import SMALL, changed

NUMBER = "2024-05-000001"
SELLER = (
    "party: {legal_name: Meridian Cloud B.V., street: Damrak 1, postal_code: 1012 LG, city: Amsterdam, country: NL, "
    "tax_id: NL001234567B01, iban: NL91 ABNA 0417 1643 00, payment_days: 14}"
)
BUYER = "party: {legal_name: Acme Inc., country: US}"
WORLD = changed("name: Meridian Cloud,", f"name: Meridian Cloud, {SELLER},")
WORLD = changed("parent: acme-group,", f"parent: acme-group, {BUYER},", WORLD)
WORLD = changed(
    "effective_from: 2024-01-01\n    price_book",
    "effective_from: 2024-01-01\n    zone: Asia/Tokyo\n    price_book",
    WORLD,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    return month(folder, WORLD)


def month(folder: Path, world: str) -> Path:
    at_home = ("--home", str(folder / "home"))
    assert main(["apply", write_world(folder, world), *at_home]) == 0
    assert main(["usage", "import", write_usage(folder), *at_home]) == 0
    assert main(["close", "2024-05", *at_home]) == 0
    return folder / "home"


def rendered(home: Path, form: str, language: str, file: Path) -> bytes:
    command = ["invoice", "render", NUMBER, "--format", form, "--language", language, "--out", str(file)]
    assert main([*command, "--home", str(home)]) == 0
    return file.read_bytes()


def test_a_pdf_leads_from_its_lines_to_price_book_and_requests(home: Path, tmp_path: Path) -> None:
    pdf = rendered(home, "pdf", "de", tmp_path / "invoice.pdf")
    text = PdfReader(io.BytesIO(pdf)).pages[0].extract_text()
    assert f"Rechnung\n{NUMBER}" in text
    assert "Meridian Cloud B.V." in text
    assert "Preisliste list, Fassung 2024-01-01, gpt-4 / input_tokens" in text
    assert f"entrepot invoice show {NUMBER} --line N --requests" in text
    assert "NL91 ABNA 0417 1643 00" in text
    assert rendered(home, "pdf", "de", tmp_path / "again.pdf") == pdf


def test_html_and_json_say_the_frozen_amounts(home: Path, tmp_path: Path) -> None:
    frozen = json.loads(rendered(home, "json", "en", tmp_path / "invoice.json"))
    page = rendered(home, "html", "en", tmp_path / "invoice.html").decode()
    assert frozen["total"] == "0.85"  # 20 190 input tokens at 30 a million are 0.6057, 4 000 of output at 60 are 0.24.
    assert f"<dd>${frozen['total']}</dd>" in page
    assert all(line["exact"] in page for line in frozen["lines"])
    assert (frozen["seller"]["iban"], frozen["buyer"]["country"]) == ("NL91ABNA0417164300", "US")


def test_an_electronic_invoice_is_of_the_same_amounts(home: Path, tmp_path: Path) -> None:
    root = ET.fromstring(rendered(home, "xml", "fr", tmp_path / "invoice.xml"))
    found = {node.tag.partition("}")[2]: node.text for node in root.iter()}
    assert (found["PayableAmount"], found["DocumentCurrencyCode"]) == ("0.85", "USD")


def test_a_party_declared_later_is_not_on_what_is_issued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = month(tmp_path, SMALL)
    assert (
        main(["apply", write_world(tmp_path, WORLD), "--home", str(home)]) == 1
    )  # Another zone: the month is metered.
    only_parties = changed("    zone: Asia/Tokyo\n", "", WORLD)
    assert main(["apply", write_world(tmp_path, only_parties), "--home", str(home)]) == 0
    assert b"Damrak" not in rendered(home, "html", "it", tmp_path / "invoice.html")
    assert main(["invoice", "render", NUMBER, "--format", "xml", "--home", str(home)]) == 1
    assert "no party of the operator" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([NUMBER, "--language", "tlh", "--out", "x"], "documents are printed in en, de"),
        (["2024-05-000009", "--out", "x"], "there is no invoice 2024-05-000009"),
        ([NUMBER, "--format", "json", "--out", "/nowhere/x"], "/nowhere/x cannot be written"),
    ],
)
def test_what_cannot_be_rendered(
    home: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["invoice", "render", *arguments, "--home", str(home)]) == 1
    assert said in capsys.readouterr().err


def test_the_console_has_the_documents(home: Path, tmp_path: Path) -> None:
    settings = load_settings({}, {"home": str(home), "console_url": "https://console.example/"})
    address = f"/invoices/{NUMBER}/document"
    with TestClient(control_app(settings), follow_redirects=False) as stranger:
        assert stranger.get(address).status_code == 303
        stranger.post("/login", data={"token": admin_token(settings)})
        assert f'href="{address}?format=html&amp;language=ja"' in stranger.get(f"/invoices/{NUMBER}").text
        pdf = stranger.get(address)
        assert pdf.headers["content-type"] == "application/pdf"
        assert pdf.content.startswith(b"%PDF-")
        page = stranger.get(f"{address}?format=html&language=ja")
        assert "請求書" in page.text
        assert f"https://console.example/invoices/{NUMBER}?line=2#requests" in page.text
        assert page.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
        assert stranger.get(f"{address}?format=docx").status_code == 400
        assert stranger.get("/invoices/1/document").status_code == 404
