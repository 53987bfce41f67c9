"""The columns of FOCUS that there is something to say in.

Source: FOCUS 1.2 (May 2025), dataset Cost and Usage; of 1.4 (June 2026) what its public working text says of columns.
"""

from typing import Literal

from entrepot.ports.tables import Column

FocusVersion = Literal["1.2", "1.4"]

_EXACT = 24  # Digits of a price of twelve digits at a rate of twelve.


def _decimals(*names: str) -> list[Column]:
    return [Column(name, "decimal", 12 if "Quantity" in name else _EXACT) for name in names]


def _texts(*names: str) -> list[Column]:
    return [Column(name) for name in names]


def _times(*names: str) -> list[Column]:
    return [Column(name, "time") for name in names]


_OF_BOTH = (
    *_decimals("BilledCost", "CommitmentDiscountQuantity", "ConsumedQuantity", "ContractedCost", "ContractedUnitPrice"),
    *_decimals("EffectiveCost", "ListCost", "ListUnitPrice", "PricingCurrencyContractedUnitPrice"),
    *_decimals("PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity"),
    *_texts("BillingAccountId", "BillingAccountName", "BillingCurrency", "ChargeCategory", "ChargeClass"),
    *_texts("ChargeDescription", "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId"),
    *_texts("CommitmentDiscountName", "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit"),
    *_texts("ConsumedUnit", "InvoiceId", "InvoiceIssuerName", "PricingCategory", "PricingCurrency", "PricingUnit"),
    *_texts("ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory"),
    *_texts("SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName"),
    *_times("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart"),
)
_OF_ONE: dict[FocusVersion, list[Column]] = {
    "1.2": _texts("ProviderName", "PublisherName"),
    "1.4": _texts("HostProviderName", "InvoiceDetailId", "ServiceProviderName"),
}
_OWN = _texts("x_ContractId", "x_InvoiceLine", "x_LineKind", "x_PriceVersion", "x_ServicePeriod")


def focus_columns(version: FocusVersion) -> list[Column]:
    """The columns of a file: FOCUS's in the order of their names, then ours."""
    return [*sorted((*_OF_BOTH, *_OF_ONE[version])), *_OWN]
