"""What FOCUS 1.2 asks of the columns of its dataset Cost and Usage, each requirement under its own id.

Source: the specification's text; ids are those of its requirements model, version 1.2.0.1. That model is read by the
FinOps Foundation's validator, too; where its conditions say something else than the text, the text counts.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial

Row = dict[str, str | None]
Test = Callable[[Row], bool]

MANDATORY = (
    *("BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd"),
    *("BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd"),
    *("ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity"),
    *("PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName"),
)
NEVER_NULL = {
    "BilledCost-C-003-M": "BilledCost",
    "BillingAccountId-C-001-M": "BillingAccountId",
    "BillingAccountName-C-003-C": "BillingAccountName",
    "BillingCurrency-C-004-M": "BillingCurrency",
    "BillingPeriodEnd-C-003-M": "BillingPeriodEnd",
    "BillingPeriodStart-C-003-M": "BillingPeriodStart",
    "ChargeCategory-C-002-M": "ChargeCategory",
    "ChargeDescription-C-003-O": "ChargeDescription",
    "ChargeFrequency-C-002-M": "ChargeFrequency",
    "ChargePeriodEnd-C-003-M": "ChargePeriodEnd",
    "ChargePeriodStart-C-003-M": "ChargePeriodStart",
    "ContractedCost-C-003-M": "ContractedCost",
    "EffectiveCost-C-003-M": "EffectiveCost",
    "InvoiceIssuerName-C-003-M": "InvoiceIssuerName",
    "ListCost-C-003-M": "ListCost",
    "PricingCurrency-C-004-M": "PricingCurrency",
    "PricingCurrencyEffectiveCost-C-003-M": "PricingCurrencyEffectiveCost",
    "ProviderName-C-003-M": "ProviderName",
    "PublisherName-C-003-M": "PublisherName",
    "ServiceCategory-C-002-M": "ServiceCategory",
    "ServiceName-C-003-M": "ServiceName",
    "ServiceSubcategory-C-002-M": "ServiceSubcategory",
}
ALLOWED: dict[str, tuple[str, set[str | None]]] = {
    "ChargeCategory-C-003-M": ("ChargeCategory", {"Usage", "Purchase", "Tax", "Credit", "Adjustment"}),
    "ChargeClass-C-005-C": ("ChargeClass", {None, "Correction"}),
    "ChargeFrequency-C-003-M": ("ChargeFrequency", {"One-Time", "Recurring", "Usage-Based"}),
    "CommitmentDiscountCategory-C-005-M": ("CommitmentDiscountCategory", {None, "Spend", "Usage"}),
    "CommitmentDiscountStatus-C-005-M": ("CommitmentDiscountStatus", {None, "Used", "Unused"}),
    "PricingCategory-C-007-M": ("PricingCategory", {None, "Standard", "Committed", "Dynamic", "Other"}),
    "ServiceCategory-C-003-M": ("ServiceCategory", {"AI and Machine Learning"}),
    "ServiceSubcategory-C-003-M": ("ServiceSubcategory", {"Generative AI"}),
}
# {id: the column that there is nothing in when there is nothing in the other one}
NULL_TOGETHER = {
    "CommitmentDiscountCategory-C-003-C": ("CommitmentDiscountCategory", "CommitmentDiscountId"),
    "CommitmentDiscountType-C-004-C": ("CommitmentDiscountType", "CommitmentDiscountId"),
    "CommitmentDiscountUnit-C-005-C": ("CommitmentDiscountUnit", "CommitmentDiscountQuantity"),
    "ConsumedUnit-C-005-C": ("ConsumedUnit", "ConsumedQuantity"),
    "PricingUnit-C-005-C": ("PricingUnit", "PricingQuantity"),
    "ResourceType-C-004-C": ("ResourceType", "ResourceId"),
    "SkuMeter-C-004-C": ("SkuMeter", "SkuId"),
    "SubAccountName-C-004-C": ("SubAccountName", "SubAccountId"),
}
# Nothing for a tax, and something for usage and purchases that correct nothing.
OF_CHARGES = {
    "ContractedUnitPrice-C-005-C": "ContractedUnitPrice",
    "ListUnitPrice-C-004-C": "ListUnitPrice",
    "PricingCategory-C-003-C": "PricingCategory",
    "PricingQuantity-C-004-C": "PricingQuantity",
    "SkuId-C-004-C": "SkuId",
    "SkuPriceId-C-004-C": "SkuPriceId",
}
PRODUCTS = {
    "ListUnitPrice-C-010-C": ("ListUnitPrice", "ListCost"),
    "ContractedUnitPrice-C-011-C": ("ContractedUnitPrice", "ContractedCost"),
}
_NUMERIC = re.compile(r"[+-]?([0-9]*[.])?[0-9]+([eE][+-]?[0-9]+)?")
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z")
_UNIT = re.compile(r"(\d+ )?[A-Z][A-Za-z]*( [A-Z][A-Za-z]*)*(-Hours|-Minutes)?")


def _number(row: Row, name: str) -> Decimal:
    return Decimal(row[name] or "0")


def _is(row: Row, *categories: str) -> bool:
    return row["ChargeCategory"] in categories


def _of_one_row() -> Iterator[tuple[str, Test]]:
    for rule, name in NEVER_NULL.items():
        yield rule, partial(_is_there, name)
    for rule, (name, values) in ALLOWED.items():
        yield rule, partial(_is_one_of, name, values)
    for rule, (name, other) in NULL_TOGETHER.items():
        yield rule, partial(_are_null_together, name, other)
    for rule, name in OF_CHARGES.items():
        yield rule, partial(_is_of_charges, name)
    for rule, (price, cost) in PRODUCTS.items():
        yield rule, partial(_is_product, price, cost)
    for name in ("ListUnitPrice", "ContractedUnitPrice"):
        yield f"{name} is not negative", partial(_is_not_negative, name)
    yield from _OTHERS.items()


def _is_there(name: str, row: Row) -> bool:
    return row[name] is not None


def _is_one_of(name: str, values: set[str | None], row: Row) -> bool:
    return row[name] in values


def _are_null_together(name: str, other: str, row: Row) -> bool:
    return (row[name] is None) == (row[other] is None)


def _is_not_negative(name: str, row: Row) -> bool:
    return _number(row, name) >= 0


def _is_of_charges(name: str, row: Row) -> bool:
    if _is(row, "Tax"):
        return row[name] is None
    return row[name] is not None or not _is(row, "Usage", "Purchase") or row["ChargeClass"] == "Correction"


def _is_product(price: str, cost: str, row: Row) -> bool:
    if row[price] is None or row["ChargeClass"] == "Correction":
        return True
    return _number(row, price) * _number(row, "PricingQuantity") == _number(row, cost)


def _is_key_value(text: str | None) -> bool:
    pairs = json.loads(text or "{}")
    return isinstance(pairs, dict) and not any(isinstance(value, dict | list) for value in pairs.values())


_OTHERS: dict[str, Test] = {
    "BillingCurrency-C-006-M": lambda row: bool(re.fullmatch("[A-Z]{3}", row["BillingCurrency"] or "")),
    "ChargeFrequency-C-004-C": lambda row: not (_is(row, "Purchase") and row["ChargeFrequency"] == "Usage-Based"),
    "CommitmentDiscountStatus-C-004-C": lambda row: (
        (row["CommitmentDiscountStatus"] is not None) == (row["CommitmentDiscountId"] is not None and _is(row, "Usage"))
    ),
    "CommitmentDiscountQuantity-C-005-C": lambda row: (
        (row["CommitmentDiscountQuantity"] is not None)
        == (row["CommitmentDiscountId"] is not None and row["ChargeClass"] is None)
    ),
    "ConsumedQuantity-C-004-C": lambda row: (
        row["ConsumedQuantity"] is None or (_is(row, "Usage") and row["CommitmentDiscountStatus"] != "Unused")
    ),
    "DiscountHandling-A-009-C": lambda row: (
        row["CommitmentDiscountType"] != "Prepaid Spend" or _is(row, "Purchase") or not _number(row, "BilledCost")
    ),
    "DiscountHandling-A-012-C": lambda row: (
        row["CommitmentDiscountId"] is None
        or row["CommitmentDiscountStatus"] == "Used"
        or row["ResourceId"] == row["CommitmentDiscountId"]
    ),
    "EffectiveCost-C-005-C": lambda row: (
        not _is(row, "Purchase")
        or row["x_LineKind"] == "subscription"  # Seats of the month, which pay for nothing else.
        or not _number(row, "EffectiveCost")
    ),
    "EffectiveCost-C-010-C": lambda row: (
        not _is(row, "Credit", "Adjustment")
        or row["x_LineKind"] == "credit_used"  # Of credit that was bought: related to that purchase.
        or row["EffectiveCost"] == row["BilledCost"] == row["ListCost"]
    ),
    "PricingCategory-C-009-C": lambda row: (
        not _is(row, "Usage") or (row["PricingCategory"] == "Committed") == (row["CommitmentDiscountId"] is not None)
    ),
    "SkuPriceDetails-C-006-M": lambda row: _is_key_value(row["SkuPriceDetails"]),
    "NumericFormat": lambda row: all(
        _NUMERIC.fullmatch(value)
        for name, value in row.items()
        if value and name.endswith(("Cost", "Price", "Quantity"))
    ),
    "DateTimeFormat": lambda row: all(
        _TIME.fullmatch(row[name] or "")
        for name in ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
    ),
    "UnitFormat": lambda row: all(
        _UNIT.fullmatch(value) for name in ("ConsumedUnit", "PricingUnit") if (value := row[name]) is not None
    ),
    "a charge ends after it begins": lambda row: (row["ChargePeriodStart"] or "") < (row["ChargePeriodEnd"] or ""),
}

RULES: dict[str, Test] = dict(_of_one_row())


def broken_rules(columns: Sequence[str], rows: Iterable[Row]) -> set[str]:
    """Ids of requirements that a file does not meet."""
    broken = {f"{name} is missing" for name in MANDATORY if name not in columns}
    broken |= {f"ColumnHandling: {name}" for name in columns if not re.fullmatch("(x_)?[A-Z][A-Za-z]{0,49}", name)}
    own = [name.startswith("x_") for name in columns]
    if own != sorted(own):
        broken.add("ColumnHandling-A-013-O")
    parents: dict[str, str] = {}
    for row in rows:
        broken |= {rule for rule, holds in RULES.items() if not holds(row)}
        if row["SkuPriceId"] is not None and parents.setdefault(row["SkuPriceId"], row["SkuId"] or "") != row["SkuId"]:
            broken.add("SkuPriceId-C-008-M")
    return broken
