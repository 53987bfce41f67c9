"""Costs as rows of FOCUS, the FinOps Open Cost and Usage Specification.

Source: FOCUS 1.2, columns of the dataset Cost and Usage.
"""

from collections.abc import Callable

import msgspec

from entrepot.core.invoices import USAGE_KINDS, LineKind
from entrepot.core.money import PICO, divide_half_up, format_pico
from entrepot.core.periods import parse_instant, parse_period
from entrepot.exporting.costs import Cost, CostKind, UsedPart
from entrepot.exporting.focus_columns import FocusVersion, focus_columns
from entrepot.exporting.past_names import PastNames
from entrepot.exporting.units import title_of, unit_of
from entrepot.ports.tables import Cell

_SERVICE = "Model Inference"

Cells = dict[str, Cell]


class FocusRows:
    """Makes rows; each is told under the names of the day on which its invoice was issued."""

    def __init__(self, names: PastNames, version: FocusVersion) -> None:
        self._names = names
        self._columns = [column.name for column in focus_columns(version)]

    def row(self, cost: Cost) -> list[Cell]:
        """The cells of a cost, one for each column."""
        cells = self._common(cost) | _KINDS[cost.kind](cost)
        if cost.is_correction:  # What is corrected of a commitment's quantity is not told.
            cells |= {"CommitmentDiscountQuantity": None, "CommitmentDiscountUnit": None}
        return [cells.get(name) for name in self._columns]

    def _common(self, cost: Cost) -> Cells:
        invoice, line = cost.invoice, cost.line
        issued = parse_instant(invoice.issued_at)
        operator, owner = self._names.operator(issued), self._names.owner(line.model if line else "", issued)
        month, zone = parse_period(invoice.period), cost.contract.zone
        seller = invoice.seller.name if isinstance(invoice.seller, msgspec.Struct) else operator
        billed, effective = format_pico(cost.billed_pico), format_pico(cost.effective_pico)
        return {
            "BilledCost": billed,
            "BillingAccountId": invoice.customer,
            "BillingAccountName": invoice.customer_name,
            "BillingCurrency": invoice.currency,
            "BillingPeriodEnd": month.end(zone),
            "BillingPeriodStart": month.start(zone),
            "ChargeClass": "Correction" if cost.is_correction else None,
            "ChargeFrequency": "One-Time",
            "ChargePeriodEnd": cost.ends,
            "ChargePeriodStart": cost.begins,
            "ContractedCost": billed,
            "EffectiveCost": effective,
            "HostProviderName": operator,
            "InvoiceDetailId": f"{invoice.number}-{line.number if line else 'tax'}",
            "InvoiceId": invoice.number,
            "InvoiceIssuerName": seller,
            "ListCost": billed,
            "PricingCurrency": cost.contract.charged_in,
            "PricingCurrencyEffectiveCost": format_pico(divide_half_up(cost.effective_pico * PICO, cost.rate_pico)),
            "ProviderName": operator,
            "PublisherName": owner,
            "ServiceCategory": "AI and Machine Learning",
            "ServiceName": _SERVICE,
            "ServiceProviderName": operator,
            "ServiceSubcategory": "Generative AI",
            "x_ContractId": invoice.contract,
            "x_InvoiceLine": str(line.number) if line else None,
            "x_LineKind": line.kind if line else None,
            "x_ServicePeriod": line.period if line else invoice.period,
        }


def _used(cost: Cost) -> Cells:
    used, series = cost.used, cost.used.reading.series if cost.used else None
    assert used is not None
    assert series is not None
    meter = used.reading.meter
    of_tier = "" if series.tier == "default" else f", {series.tier}"
    unit = unit_of(meter)
    named = bool(series.project and series.deployment)
    return {
        "ChargeCategory": "Usage",
        "ChargeDescription": f"{title_of(meter)} of {series.model}{of_tier}",
        "ChargeFrequency": "Usage-Based",
        "ConsumedQuantity": str(used.quantity),
        "ConsumedUnit": unit,
        "ContractedCost": _product(used.agreed_pico, cost.rate_pico),
        "ContractedUnitPrice": _price(used.agreed_unit_pico, cost.rate_pico),
        "ListCost": _product(used.list_pico, cost.rate_pico),
        "ListUnitPrice": _price(used.list_unit_pico, cost.rate_pico),
        "PricingCategory": "Committed" if cost.commitment else "Standard",
        "PricingCurrencyContractedUnitPrice": _price(used.agreed_unit_pico, PICO),
        "PricingCurrencyListUnitPrice": _price(used.list_unit_pico, PICO),
        "PricingQuantity": str(used.priced),
        "PricingUnit": {0: "Hours", 1: unit}.get(used.priced_by, f"{used.priced_by} {unit}"),
        "ResourceId": f"{series.project}/{series.deployment}" if named else None,
        "ResourceName": series.deployment if named else None,
        "ResourceType": "Model Deployment" if named else None,
        "SkuId": f"{series.model}/{meter}",
        "SkuMeter": title_of(meter),
        "SkuPriceDetails": _price_details(used),
        "SkuPriceId": _price_id(used),
        "SubAccountId": series.project or None,
        "SubAccountName": series.project or None,
        "x_PriceVersion": series.price_version,
        **(_committed(cost, "Used") if cost.commitment else {}),
    }


def _price_id(used: UsedPart) -> str:
    """One price of a book, whichever version of it and whoever pays it."""
    series = used.reading.series
    which = [used.price_book, series.model, used.reading.meter, series.tier, used.price_class]
    return "/".join(part for part in (*which, f"step {used.step}" if used.step else "") if part)


def _price_details(used: UsedPart) -> str:
    series = used.reading.series
    details: dict[str, object] = {"x_Model": series.model, "x_ServiceTier": series.tier}
    if used.price_class:
        details["x_PriceClass"] = used.price_class
    if used.step:
        details["x_Step"] = used.step
    return msgspec.json.encode(details).decode()


def _of_term(cost: Cost) -> Cells:
    line = cost.line
    assert line is not None
    if line.kind in USAGE_KINDS:
        return {**_whole("Usage", f"Usage of {line.model}", cost, line.model), "ChargeFrequency": "Usage-Based"}
    category, described = _TERMS[line.kind]
    if category in {"Usage", "Purchase"}:
        return _whole(category, described, cost, _SKUS.get(line.kind, line.kind)) | (
            _reserved(cost, None) if line.kind == "reservation" else {}
        )
    return {"ChargeCategory": category, "ChargeDescription": f"{described}: {cost.invoice.reason or line.period}"}


def _whole(category: str, described: str, cost: Cost, sku: str) -> Cells:
    """A line that is one charge. Of usage it says how much that was, in units of its meter."""
    cells: Cells = {"ChargeCategory": category, "ChargeDescription": described, **_single(cost, sku)}
    if category == "Usage" and cells.get("CommitmentDiscountStatus") != "Unused":
        line = cost.line
        cells |= {"ConsumedQuantity": line.quantity if line else "0", "ConsumedUnit": "Units"}
    return cells


# {kind of line that is not of usage: (ChargeCategory, what it is)}
_TERMS: dict[LineKind, tuple[str, str]] = {
    "reservation": ("Purchase", "Reserved provisioned units"),
    "subscription": ("Purchase", "Seats"),
    "purchase": ("Purchase", "Commitment, paid ahead"),
    "shortfall": ("Usage", "What was not spent of a commitment"),
    "minimum": ("Adjustment", "Rest of a monthly minimum"),
    "cap": ("Adjustment", "What is above a cap"),
    "credit_bought": ("Purchase", "Credit, paid ahead"),
    "credit_used": ("Credit", "Paid from credit"),
    "commitment": ("Credit", "Drawn from a commitment"),
    "credit": ("Credit", "Given back"),
}
_SKUS: dict[LineKind, str] = {"purchase": "commitment", "shortfall": "commitment", "credit_bought": "credit"}
_RECURRING: tuple[LineKind, ...] = ("reservation", "subscription")


def _share(cost: Cost) -> Cells:
    """What a reservation was used, or not: it was billed as the reservation."""
    line = cost.line
    assert line is not None
    share = next(item for item in line.shares or () if item.name == cost.label)
    status = cost.label.capitalize()
    cells = _single(cost, "reservation") | _reserved(cost, status)
    cells |= {"ChargeCategory": "Usage", "ChargeDescription": f"Reserved provisioned units, {cost.label}"}
    cells |= {"PricingCategory": "Committed", "CommitmentDiscountQuantity": share.quantity}
    if status == "Used":
        cells |= {"ConsumedQuantity": share.quantity, "ConsumedUnit": "Unit-Hours"}
    return cells


def _reserved(cost: Cost, status: str | None) -> Cells:
    line = cost.line
    assert line is not None
    named = f"{cost.contract.id}/{line.price_class}"
    return {
        "CommitmentDiscountCategory": "Usage",
        "CommitmentDiscountId": named,
        "CommitmentDiscountQuantity": line.quantity,
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountType": "Reservation",
        "CommitmentDiscountUnit": "Unit-Hours",
        "ResourceId": named,
        "ResourceType": "Reservation",
    }


def _single(cost: Cost, sku: str) -> Cells:
    """A charge that is one of its kind: priced once, at what it comes to; given back, minus once."""
    once = -1 if cost.billed_pico < 0 else 1
    price = format_pico(abs(cost.billed_pico))
    is_unused = cost.commitment is not None and cost.line is not None and cost.line.kind == "shortfall"
    return {
        "ContractedUnitPrice": price,
        "ListUnitPrice": price,
        "PricingCategory": "Committed" if is_unused else "Standard",
        "PricingCurrencyContractedUnitPrice": price if cost.rate_pico == PICO else None,
        "PricingCurrencyListUnitPrice": price if cost.rate_pico == PICO else None,
        "PricingQuantity": str(once),
        "PricingUnit": "Units",
        "ChargeFrequency": "Recurring" if cost.line is not None and cost.line.kind in _RECURRING else "One-Time",
        "SkuId": sku,
        "SkuMeter": sku.title(),
        "SkuPriceId": sku,
        **(_committed(cost, "Unused" if is_unused else None) if cost.commitment else {}),
    }


def _committed(cost: Cost, status: str | None) -> Cells:
    """What ties a charge to a commitment. One that is no usage of a deployment is of the commitment itself."""
    commitment = cost.commitment
    assert commitment is not None
    named = f"{cost.contract.id}/commitment@{commitment.begins}"
    itself: Cells = {"ResourceId": named, "ResourceType": "Commitment"}
    return {
        "CommitmentDiscountCategory": "Spend",
        "CommitmentDiscountId": named,
        "CommitmentDiscountQuantity": format_pico(max(cost.effective_pico, cost.billed_pico)),
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountType": "Prepaid Spend" if commitment.prepaid else "Spend",
        "CommitmentDiscountUnit": cost.invoice.currency,
        **({} if cost.used else itself),
    }


def _tax(cost: Cost) -> Cells:
    return {"ChargeCategory": "Tax", "ChargeDescription": cost.label}


def _rounding(cost: Cost) -> Cells:
    assert cost.line is not None
    return {
        "ChargeCategory": "Adjustment",
        "ChargeDescription": f"Rounding of line {cost.line.number} to the minor unit of {cost.invoice.currency}",
    }


def _unused(cost: Cost) -> Cells:
    single = _single(cost, "commitment") | {"PricingCategory": "Committed"}
    described = "What was paid ahead of a commitment and not drawn in its term"
    on_no_invoice: Cells = {"InvoiceId": None, "InvoiceDetailId": None}
    unused = _committed(cost, "Unused")
    return {"ChargeCategory": "Usage", "ChargeDescription": described, **single, **unused, **on_no_invoice}


_KINDS: dict[CostKind, Callable[[Cost], Cells]] = {
    "used": _used,
    "term": _of_term,
    "share": _share,
    "tax": _tax,
    "rounding": _rounding,
    "unused": _unused,
}


def _price(unit_pico: int | None, rate_pico: int) -> str | None:
    return None if unit_pico is None else _product(unit_pico, rate_pico)


def _product(pico: int, rate_pico: int) -> str:
    """An amount at a rate, to the last of its 24 digits."""
    whole, fraction = divmod(abs(pico) * rate_pico, PICO * PICO)
    shown = f"{fraction:024d}".rstrip("0")
    sign = "-" if pico < 0 else ""
    return f"{sign}{whole}.{shown}" if shown else f"{sign}{whole}"
