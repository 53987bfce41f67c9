"""Costs as FOCUS: its requirements hold, every invoice's rows sum to it, CSV and Parquet say the same, exactly."""

import csv
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entrepot.cli.main import main
from entrepot.compose.books import open_books
from entrepot.compose.settings import load_settings
from entrepot.core.invoices import USAGE_KINDS, Invoice, LineKind
from entrepot.exporting.focus import _TERMS
from tests.support.focus_rules import RULES, Row, broken_rules
from tests.support.rich_books import make_books


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_books(tmp_path_factory.mktemp("rich"))


@pytest.fixture(scope="module")
def invoices(home: Path) -> dict[str, Invoice]:
    with open_books(load_settings({"ENTREPOT_HOME": str(home)}, {})) as books:
        return {invoice.number: invoice for invoice in books.invoices()}


def exported(home: Path, *flags: str, name: str = "costs.csv") -> Path:
    path = home.parent / name
    assert main(["usage", "export", "--format", "focus", "--out", str(path), "--home", str(home), *flags]) == 0
    return path


def read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def rows(home: Path) -> list[Row]:
    return read(exported(home))


def total(rows: list[Row], column: str = "BilledCost") -> Decimal:
    return sum((Decimal(row[column] or "0") for row in rows), Decimal())


def test_the_requirements_hold(rows: list[Row]) -> None:
    assert broken_rules(list(rows[0]), rows) == set()


SPOILED: list[tuple[str, dict[str, str | None]]] = [
    ("BilledCost-C-003-M", {"BilledCost": None}),
    ("ChargeCategory-C-003-M", {"ChargeCategory": "Use"}),
    ("ListUnitPrice-C-010-C", {"ListCost": "0.080000000001"}),
    ("ConsumedUnit-C-005-C", {"ConsumedUnit": None}),
    ("SkuPriceId-C-004-C", {"SkuPriceId": None}),
    ("PricingCategory-C-009-C", {"PricingCategory": "Committed"}),
    ("DateTimeFormat", {"ChargePeriodEnd": "2024-03-01 01:00:00"}),
    ("NumericFormat", {"EffectiveCost": "1,000.00"}),
]


@pytest.mark.parametrize(("rule", "change"), SPOILED, ids=[rule for rule, _ in SPOILED])
def test_a_row_that_breaks_a_rule_is_noticed(rows: list[Row], rule: str, change: dict[str, str | None]) -> None:
    assert not RULES[rule]({**rows[0], **change})


def test_the_rows_of_an_invoice_sum_to_it(rows: list[Row], invoices: dict[str, Invoice]) -> None:
    of_invoice: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["InvoiceId"] is not None:
            of_invoice[row["InvoiceId"]].append(row)
    assert {number: total(found) for number, found in of_invoice.items()} == {
        number: Decimal(invoice.total) for number, invoice in invoices.items()
    }


def test_the_rows_of_a_line_sum_to_it_and_say_what_was_rounded(rows: list[Row], invoices: dict[str, Invoice]) -> None:
    """To the pico: usage to what the line is exactly, its rounding to the rest. What is paid ahead is billed once."""
    for invoice in invoices.values():
        for line in invoice.lines:
            if line.kind == "commitment":
                continue
            found = [
                row for row in rows if (row["InvoiceId"], row["x_InvoiceLine"]) == (invoice.number, str(line.number))
            ]
            rounding = [row for row in found if (row["ChargeDescription"] or "").startswith("Rounding")]
            used = [row for row in found if row not in rounding]
            if line.kind not in {
                "purchase",
                "credit_bought",
                "credit_used",
            }:  # A reservation costs what was used of it and what was not.
                assert total(used, "EffectiveCost") == Decimal(line.exact)
            assert total(rounding) == Decimal(line.amount) - Decimal(line.exact)


def test_usage_is_counted_once(rows: list[Row], invoices: dict[str, Invoice]) -> None:
    """What was consumed is what lines count; a credit note counts nothing."""
    other = {"provisioned_unit_hours", "seats"}
    lines = [line for invoice in invoices.values() for line in invoice.lines if line.meter not in other]
    counted = by(rows, lambda row: row["ConsumedUnit"] not in {"Unit-Minutes", "Unit-Hours"})
    assert total(counted, "ConsumedQuantity") == sum(int(line.quantity) for line in lines)


def by(rows: list[Row], test: Callable[[Row], bool]) -> list[Row]:
    return [row for row in rows if test(row)]


def test_prices_by_quantity_are_told_in_unit_prices(rows: list[Row]) -> None:
    first = by(rows, lambda row: row["InvoiceId"] == "2024-03-000002")
    steps = by(first, lambda row: row["SkuId"] == "gpt-4-1/input_tokens")
    below = by(steps, lambda row: row["ListUnitPrice"] == "0.0000004")
    above = by(steps, lambda row: row["ListUnitPrice"] == "0.0000003")
    assert total(below, "PricingQuantity") == 5000
    assert total(above, "PricingQuantity") == 31372 - 5000
    volume = by(first, lambda row: row["SkuId"] == "gpt-4-1/output_tokens")
    assert {row["ListUnitPrice"] for row in volume} == {"0.000002"}
    packages = by(first, lambda row: row["SkuId"] == "embed/input_tokens")
    assert {(row["ListUnitPrice"], row["PricingUnit"]) for row in packages} == {("0.01", "1000 Tokens")}
    assert total(packages, "PricingQuantity") == 39


def test_discounts_and_exchange_stand_in_the_prices(rows: list[Row]) -> None:
    (row, *_) = by(rows, lambda row: row["InvoiceId"] == "2024-03-000003" and row["SkuId"] == "dall-e/images")
    assert (row["PricingCurrency"], row["BillingCurrency"]) == ("USD", "EUR")
    assert (row["PricingCurrencyListUnitPrice"], row["PricingCurrencyContractedUnitPrice"]) == ("0.04", "0.035")
    assert (row["ListUnitPrice"], row["ContractedUnitPrice"]) == ("0.036732", "0.0321405")


def test_what_is_paid_ahead_is_billed_when_it_is_bought_and_costs_when_it_is_drawn(rows: list[Row]) -> None:
    of_term = by(rows, lambda row: row["BillingAccountId"] == "cobalt" and row["CommitmentDiscountId"] is not None)
    bought = by(of_term, lambda row: row["ChargeCategory"] == "Purchase")
    assert total(bought) == 1
    assert total(bought, "EffectiveCost") == 0
    drawn = by(of_term, lambda row: row["CommitmentDiscountStatus"] is not None)
    assert total(drawn) == 0
    assert total(drawn, "EffectiveCost") == 1


def test_what_was_paid_ahead_and_not_drawn_is_unused_at_the_end(rows: list[Row]) -> None:
    of_term = by(rows, lambda row: row["BillingAccountId"] == "dune" and row["CommitmentDiscountStatus"] is not None)
    (unused,) = by(of_term, lambda row: row["CommitmentDiscountStatus"] == "Unused")
    assert (unused["InvoiceId"], unused["BilledCost"], unused["ChargePeriodStart"]) == (
        None,
        "0",
        "2024-04-01T00:00:00Z",
    )
    assert total(of_term, "EffectiveCost") == 1000


def test_reservations_are_bought_and_then_used_or_not(rows: list[Row]) -> None:
    reserved = by(rows, lambda row: row["CommitmentDiscountType"] == "Reservation")
    told = [
        (row["ChargeCategory"], row["CommitmentDiscountStatus"], row["BilledCost"], row["EffectiveCost"])
        for row in reserved
    ]
    assert told == [
        ("Purchase", None, "21", "0"),
        ("Usage", "Used", "0", "15.3125"),
        ("Usage", "Unused", "0", "5.6875"),
    ]
    units = by(rows, lambda row: row["ConsumedUnit"] == "Unit-Minutes")
    assert total(units, "ConsumedQuantity") == 725 + 1500 + 375
    assert total(units).quantize(Decimal("0.000000000001")) == Decimal("43.766666666667")


def test_credit_that_was_bought_costs_nothing_until_it_pays_and_granted_credit_costs_nobody(rows: list[Row]) -> None:
    of_fjord = by(rows, lambda row: row["BillingAccountId"] == "fjord" and row["InvoiceId"] is not None)
    bought = by(of_fjord, lambda row: row["x_LineKind"] == "credit_bought" and row["ChargeCategory"] == "Purchase")
    assert [(row["BilledCost"], row["EffectiveCost"]) for row in bought] == [("30", "0")]
    paid = by(of_fjord, lambda row: row["ChargeCategory"] == "Credit")
    assert {row["EffectiveCost"] for row in paid} == {"-5", "0"}
    rest = by(of_fjord, lambda row: row not in bought and row not in paid)
    assert total(of_fjord, "EffectiveCost") == total(rest, "EffectiveCost") - 5


def test_every_kind_of_line_has_its_category() -> None:
    assert set(_TERMS) | set(USAGE_KINDS) == set(get_args(LineKind))


def test_late_usage_and_credit_notes_are_corrections(rows: list[Row], invoices: dict[str, Invoice]) -> None:
    late = {row["InvoiceId"] for row in rows if row["ChargeClass"] == "Correction"}
    supplements = {f"2024-03-{number:06d}" for number in range(8, 14)}
    assert late == supplements | {number for number, invoice in invoices.items() if invoice.corrects}


def test_a_period_and_a_customer_can_be_asked_for(home: Path, rows: list[Row]) -> None:
    of_april = read(exported(home, "--period", "2024-04", "--customer", "cobalt", name="april.csv"))
    wanted = by(rows, lambda row: (row["BillingAccountId"], row["InvoiceId"]) == ("cobalt", "2024-04-000004"))
    assert of_april == wanted


def test_parquet_says_the_same_in_decimals_and_timestamps(home: Path, rows: list[Row]) -> None:
    table = pq.read_table(exported(home, name="costs.parquet"))
    assert not [field.name for field in table.schema if pa.types.is_floating(field.type)]
    assert table.schema.field("BilledCost").type == pa.decimal128(38, 24)
    assert table.schema.field("ChargePeriodStart").type == pa.timestamp("us", tz="UTC")
    for told, row in zip(table.to_pylist(), rows, strict=True):
        for name, value in told.items():
            text = row[name]
            if isinstance(value, Decimal):
                assert value == Decimal(text or "")
            elif isinstance(value, datetime):
                assert value == datetime.fromisoformat(text or "")
            else:
                assert value == text


def test_version_1_4_names_providers_and_invoice_details_in_its_way(home: Path, rows: list[Row]) -> None:
    later = read(exported(home, "--focus-version", "1.4", name="later.csv"))
    gone = {"ProviderName", "PublisherName"}
    new = {"HostProviderName", "InvoiceDetailId", "ServiceProviderName"}
    assert set(later[0]) == set(rows[0]) - gone | new
    for told, row in zip(later, rows, strict=True):
        assert {name: value for name, value in told.items() if name not in new} == {
            name: value for name, value in row.items() if name not in gone
        }
        assert told["ServiceProviderName"] == row["ProviderName"]
        assert (told["InvoiceDetailId"] is None) == (row["InvoiceId"] is None)


def test_the_lines_of_invoices_are_a_table(home: Path, invoices: dict[str, Invoice]) -> None:
    path = home.parent / "lines.csv"
    assert main(["invoice", "export", "--out", str(path), "--home", str(home)]) == 0
    found: dict[str, Decimal] = defaultdict(Decimal)
    for row in read(path):
        found[row["invoice"] or ""] += Decimal(row["amount"] or "")
    assert found == {number: Decimal(invoice.total) for number, invoice in invoices.items()}
