"""The story's papers: one command, one ledger; what they say is what its settlement comes to."""

import json
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from tests.support.tree import PROGRAMS, ROOT

STORY = ROOT / "examples" / "story"


def ran(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    usage, made = folder / "usage.jsonl", folder / "home"
    ran(sys.executable, STORY / "generate.py", usage, "--records", 3000)
    entrepot(made, "apply", STORY / "world.yaml", STORY / "tail.yaml")
    entrepot(made, "usage", "import", usage)
    entrepot(made, "close", "2024-03")
    assert "equal, rebuilt in" in ran(sys.executable, STORY / "papers.py", "--home", made)
    return made


def entrepot(home: Path, *words: object) -> Any:
    return json.loads(ran(PROGRAMS / "entrepot", *words, "--home", home, "--json"))


def text_of(path: Path) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in PdfReader(path).pages))


def money(amount: str) -> str:
    return f"{Decimal(amount):,.2f}"


@pytest.mark.timeout(480)
def test_the_papers_say_what_the_ledger_says(home: Path) -> None:
    papers = home / "papers"
    assert "Total due $20,025,324.51" in text_of(papers / "tiktok-invoice-2024-03.pdf")
    assert "24.12 %" in (papers / "customers-2024-03.txt").read_text()
    lines = entrepot(home, "invoice", "list", "--period", "2026-04")["invoices"]
    net = sum(Decimal(invoice["net"]) for invoice in lines)
    for period, base in (("2024-03", Decimal("83021042.96")), ("2026-04", net)):
        (statement,) = entrepot(home, "statement", "list", "--period", period)["statements"]
        share = next(item for item in statement["documents"] if item["kind"] == "resale_share")
        paper = text_of(papers / f"openai-statement-{period}.pdf")
        for amount in (share["base"], share["amount"], statement["net"]):
            assert money(amount) in paper
        if period == "2024-03":
            assert Decimal(share["base"]) == base
            assert Decimal(share["amount"]) == Decimal("16604208.59")
        else:  # Nothing from the 27th on.
            assert Decimal("0.8") * base < Decimal(share["base"]) < Decimal("0.9") * base
            assert "to April 26, 2026" in paper
    ran(PROGRAMS / "bean-check", papers / "books.beancount")
    ran(sys.executable, "-m", "ledgerkit", "-f", papers / "books.journal", "check", "--strict")
