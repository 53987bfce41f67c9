"""A partner's file, row by row."""

import pytest

from entrepot.ports.partner_files import PartnerFile
from entrepot.reconciling.partner_rows import read_rows


@pytest.mark.parametrize(
    ("unit", "quantity"),
    [("1K", "2500"), ("10 K", "25000"), ("1M", "2500000"), ("1", "2.5"), ("1 Hour", "2.5"), ("1 Month", "2.5")],
)
def test_azure_counts_in_its_unit_of_measure(unit: str, quantity: str) -> None:
    row = {"Date": "03/05/2024", "MeterName": "m", "Quantity": "2.5", "UnitOfMeasure": unit, "Cost": "1"}
    (read,) = read_rows(PartnerFile("costs.csv", "", [], [(2, row)]), {}, "UTC").rows
    assert read.quantity == quantity
