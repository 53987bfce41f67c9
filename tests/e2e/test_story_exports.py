"""The story in every form that leaves the house: one month, and all of them say the same of it."""

import csv
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from starlette.testclient import TestClient

from entrepot.cli.main import main
from entrepot.compose.books import open_books
from entrepot.compose.control_plane import control_app
from entrepot.compose.settings import load_settings
from entrepot.compose.tokens import admin_token
from entrepot.core.invoices import Invoice
from entrepot.core.periods import SECOND, parse_instant
from tests.support.tree import PROGRAMS, ROOT

STORY = ROOT / "examples" / "story"
CUSTOMER = "tiktok"
RECORDS = 3000

# (model, meter): tokens
Tokens = dict[tuple[str, str], int]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("story")
    usage, made = folder / "usage.jsonl", folder / "home"
    generate = [sys.executable, str(STORY / "generate.py"), str(usage), "--records", str(RECORDS)]
    subprocess.run(generate, check=True, cwd=ROOT, capture_output=True)
    for words in (
        ["apply", str(STORY / "world.yaml"), str(STORY / "tail.yaml")],
        ["usage", "import", str(usage)],
        ["close", "2024-03"],
    ):
        assert main([*words, "--home", str(made)]) == 0
    return made


@pytest.fixture(scope="module")
def invoices(home: Path) -> list[Invoice]:
    with open_books(load_settings({}, {"home": str(home)})) as books:
        return books.invoices()


@pytest.fixture(scope="module")
def invoice(invoices: list[Invoice]) -> Invoice:
    """TikTok's."""
    (found,) = [item for item in invoices if item.customer == CUSTOMER]
    return found


@pytest.fixture(scope="module")
def tokens(invoice: Invoice) -> Tokens:
    """What TikTok's invoice counts."""
    return {(line.model, line.meter): int(line.quantity) for line in invoice.lines}


def exported(home: Path, name: str, *words: str) -> Path:
    path = home.parent / name
    assert main([*words, "--out", str(path), "--home", str(home)]) == 0
    return path


def priced(tokens: Tokens) -> Decimal:
    """What tokens cost by the price list of the story's world file."""
    (book,) = yaml.safe_load((STORY / "world.yaml").read_text())["price_books"]
    prices = {
        (row["model"], row["meter"]): Decimal(row["per_million"]) / 10**6 for row in book["versions"][0]["prices"]
    }
    return sum((count * prices[what] for what, count in tokens.items()), Decimal())


def usage_records(home: Path, form: str) -> Iterator[dict[str, Any]]:
    path = exported(home, f"usage.{form}", "usage", "export", "--format", form, "--customer", CUSTOMER)
    if form == "jsonl":
        yield from map(json.loads, path.read_text().splitlines())
    elif form == "csv":
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                yield {**row, "meters": {name: int(row[name]) for name in row if "token" in name and row[name]}}
    else:
        for row in pq.read_table(path).to_pylist():
            yield {**row, "meters": dict(row["meters"])}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_usage_files_hold_the_invoices_tokens_and_their_price(
    home: Path, invoice: Invoice, tokens: Tokens, form: str
) -> None:
    counted: Counter[tuple[str, str]] = Counter()
    for record in usage_records(home, form):
        for meter, quantity in record["meters"].items():
            counted[record["model"], meter] += quantity
    assert dict(counted) == tokens
    assert priced(dict(counted)) == sum(Decimal(line.exact) for line in invoice.lines)


def test_focus(home: Path, invoices: list[Invoice], invoice: Invoice, tokens: Tokens) -> None:
    path = exported(home, "costs.parquet", "usage", "export", "--format", "focus")
    billed: dict[str, Decimal] = {}
    consumed: Counter[tuple[str, str]] = Counter()
    for row in pq.read_table(path).to_pylist():
        billed[row["InvoiceId"]] = billed.get(row["InvoiceId"], Decimal()) + row["BilledCost"]
        if row["BillingAccountId"] == CUSTOMER and row["ConsumedQuantity"] is not None:
            model, meter = row["SkuId"].split("/")
            consumed[model, meter] += int(row["ConsumedQuantity"])
    assert billed == {item.number: Decimal(item.total) for item in invoices}
    assert dict(consumed) == tokens


def test_the_table_of_invoices(home: Path, invoices: list[Invoice]) -> None:
    with exported(home, "lines.csv", "invoice", "export").open(newline="") as file:
        amounts: dict[str, Decimal] = {}
        for row in csv.DictReader(file):
            amounts[row["invoice"]] = amounts.get(row["invoice"], Decimal()) + Decimal(row["amount"])
    assert amounts == {item.number: Decimal(item.total) for item in invoices}


def test_beancount(home: Path, invoices: list[Invoice], invoice: Invoice) -> None:
    path = exported(home, "books.beancount", "ledger", "export", "--format", "beancount")
    checked = subprocess.run([str(PROGRAMS / "bean-check"), str(path)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stderr) == (0, "")
    held = dict(re.findall(r" balance Assets:Receivable:Invoiced:(\S+)  (\S+) ~", path.read_text()))
    assert Decimal(held["Tiktok"]) == Decimal(invoice.total)
    assert sum(map(Decimal, held.values())) == sum(Decimal(item.total) for item in invoices)


def test_hledger(home: Path, invoices: list[Invoice], invoice: Invoice) -> None:
    """The balance that another reader of hledger's language computes from the legs."""
    path = exported(home, "books.journal", "ledger", "export", "--format", "hledger")
    ledgerkit = [sys.executable, "-m", "ledgerkit", "-f", str(path)]
    subprocess.run([*ledgerkit, "check", "--strict"], check=True, timeout=60)
    balance = subprocess.run([*ledgerkit, "balance"], check=True, capture_output=True, text=True, timeout=60).stdout
    told = {name: Decimal(amount.replace(",", "")) for amount, name in re.findall(r"(-?[\d,.]+) USD +(\S+)", balance)}
    assert told["assets:receivable:invoiced:tiktok"] == Decimal(invoice.total)
    of_customers = [amount for name, amount in told.items() if name.startswith("assets:receivable:invoiced:")]
    assert sum(of_customers) == sum(Decimal(item.total) for item in invoices)


def test_the_organization_api(home: Path, invoice: Invoice, tokens: Tokens) -> None:
    settings = load_settings({}, {"home": str(home)})
    headers = {"authorization": f"Bearer {admin_token(settings)}", "openai-organization": CUSTOMER}
    march, april = (parse_instant(f"2024-{month}-01") // SECOND for month in ("03", "04"))
    span: dict[str, int | str] = {"start_time": march, "end_time": april, "limit": 31, "group_by": "model"}
    counted: Counter[tuple[str, str]] = Counter()
    with TestClient(control_app(settings), headers=headers) as client:
        for kind in ("completions", "embeddings"):
            for bucket in client.get(f"/v1/organization/usage/{kind}", params=span).json()["data"]:
                for result in bucket["results"]:
                    for meter in ("input_tokens", "output_tokens"):
                        counted[result["model"], meter] += result.get(meter, 0)
        costs = client.get("/v1/organization/costs", params={**span, "group_by": "line_item"}).text
    days = json.loads(costs, parse_float=Decimal, parse_int=Decimal)["data"]
    assert {what: count for what, count in counted.items() if count} == tokens
    assert sum(result["amount"]["value"] for day in days for result in day["results"]) == Decimal(invoice.total)
