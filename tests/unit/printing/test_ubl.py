"""The electronic invoice, held to the published rules by a reader that is not ours, and computed anew."""

from decimal import ROUND_HALF_UP, Decimal
from xml.etree import ElementTree as ET

import msgspec
import pytest
from mockeinvoice import validate

from entrepot.core.errors import BadInput
from entrepot.core.invoices import Conversion, Invoice, TaxLine
from entrepot.printing.sheet import print_invoice
from entrepot.printing.ubl import ubl_of
from tests.support.paper import BACKGROUND, BUYER, CREDIT, INVOICE, SELLER

PEPPOL = "urn:cen.eu:en16931:2017#compliant#urn:fdc:peppol.eu:2017:poacc:billing:3.0"
CBC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2}"
CAC = "{urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2}"

UNTAXED = msgspec.structs.replace(INVOICE, taxes=(), tax="0.00", total="1000.00")
ALL_TAXED = msgspec.structs.replace(
    INVOICE, taxes=(TaxLine("VAT", "7.5", "1000.00", "75.00", lines=(1, 2, 3, 4, 5)),), tax="75.00", total="1075.00"
)
TWO_RATES = msgspec.structs.replace(
    INVOICE,
    taxes=(TaxLine("A", "19", "38.54", "7.32", lines=(1, 2)), TaxLine("B", "0", "961.46", "0.00", lines=(3, 4, 5))),
    tax="7.32",
    total="1007.32",
)
REVERSED = msgspec.structs.replace(
    INVOICE,
    taxes=(TaxLine("VAT", "0", "1000.00", "0.00", lines=(1, 2, 3, 4, 5), reverse_charge=True),),
    tax="0.00",
    total="1000.00",
    buyer=msgspec.structs.replace(BUYER, tax_id="FR12345678901", country="FR"),
)
CONVERTED = msgspec.structs.replace(INVOICE, conversions=(Conversion("2024-05", "EUR", "1.08125"),))
POOR = msgspec.structs.replace(
    UNTAXED,
    seller=msgspec.structs.replace(SELLER, iban="", bic="", payment_days=0, email="", registration=""),
    buyer=msgspec.structs.replace(BUYER, tax_id="FR12345678901", country="FR"),
)


def xml_of(invoice: Invoice) -> str:
    return ubl_of(invoice, print_invoice(invoice, "de", BACKGROUND), BACKGROUND).decode()


@pytest.mark.parametrize("invoice", [INVOICE, UNTAXED, ALL_TAXED, TWO_RATES, REVERSED, CONVERTED, POOR, CREDIT])
def test_no_rule_of_en_16931_is_broken(invoice: Invoice) -> None:
    """The reader takes documents of Peppol only, whose rules stand on those of EN 16931; Peppol's own are left out."""
    text = xml_of(invoice)
    assert "<cbc:CustomizationID>urn:cen.eu:en16931:2017</cbc:CustomizationID>" in text
    _, report = validate(text.replace("urn:cen.eu:en16931:2017", PEPPOL))
    core = [finding for finding in report.failures if finding.code.startswith(("BR-", "UBL-"))]
    assert [(finding.code, finding.path, finding.text) for finding in core] == []
    assert {"BR-CO-10", "BR-CO-13", "BR-CO-15", "BR-CO-17", "BR-DEC-09"} <= set(report.ran)


def test_a_wrong_sum_would_be_noticed() -> None:
    text = xml_of(INVOICE).replace("urn:cen.eu:en16931:2017", PEPPOL)
    _, report = validate(text.replace(">37.04</cbc:LineExtensionAmount>", ">37.05</cbc:LineExtensionAmount>"))
    assert "BR-CO-10" in {finding.code for finding in report.failures}


@pytest.mark.parametrize("invoice", [INVOICE, UNTAXED, ALL_TAXED, TWO_RATES, REVERSED, CONVERTED, POOR])
def test_the_sums_computed_anew_are_those_it_says(invoice: Invoice) -> None:
    root = ET.fromstring(xml_of(invoice))
    lines = root.findall(f"{CAC}InvoiceLine")
    nets = [number(line, "LineExtensionAmount") for line in lines]
    for line, net in zip(lines, nets, strict=True):
        price = line.find(f"{CAC}Price")
        assert price is not None
        computed = number(line, "InvoicedQuantity") * number(price, "PriceAmount") / number(price, "BaseQuantity")
        assert computed.quantize(Decimal("0.01"), ROUND_HALF_UP) == net
    parts = root.findall(f"{CAC}TaxTotal/{CAC}TaxSubtotal")
    taxes = [number(part, "TaxAmount") for part in parts]
    totals = root.find(f"{CAC}LegalMonetaryTotal")
    assert totals is not None
    assert sum(nets) == number(totals, "TaxExclusiveAmount") == sum(number(part, "TaxableAmount") for part in parts)
    assert sum(nets) + sum(taxes) == number(totals, "PayableAmount") == Decimal(invoice.total)


def number(node: ET.Element, name: str) -> Decimal:
    return Decimal(node.findtext(f"{CBC}{name}", ""))


def test_what_it_cannot_say_is_refused_with_what_to_do() -> None:
    replace = msgspec.structs.replace
    for invoice, said in (
        (replace(INVOICE, seller=msgspec.UNSET), "no party of the operator"),
        (replace(INVOICE, buyer=msgspec.UNSET), "no party of the customer tokyo"),
        (replace(INVOICE, currency="KWD"), "two decimals"),
        (replace(INVOICE, seller=replace(SELLER, tax_id="")), "tax_id"),
        (replace(REVERSED, buyer=BUYER), "tax_id of customer tokyo"),
    ):
        with pytest.raises(BadInput, match=said):
            ubl_of(invoice, print_invoice(INVOICE, "en", BACKGROUND), BACKGROUND)


def test_reverse_charge_is_a_category_of_its_own() -> None:
    (part,) = ET.fromstring(xml_of(REVERSED)).findall(f"{CAC}TaxTotal/{CAC}TaxSubtotal")
    category = part.find(f"{CAC}TaxCategory")
    assert category is not None
    told = [category.findtext(f"{CBC}{name}") for name in ("ID", "Percent", "TaxExemptionReason")]
    assert (told, number(part, "TaxableAmount")) == (["AE", "0", "Reverse charge"], Decimal("1000.00"))


def test_a_credit_note_names_its_invoice_and_gives_back_positive_amounts() -> None:
    root = ET.fromstring(xml_of(CREDIT))
    assert root.tag.endswith("CreditNote-2}CreditNote")
    reference = root.find(f"{CAC}BillingReference/{CAC}InvoiceDocumentReference")
    totals = root.find(f"{CAC}LegalMonetaryTotal")
    assert reference is not None
    assert totals is not None
    assert reference.findtext(f"{CBC}ID") == "2024-05-000001"
    assert number(totals, "PayableAmount") == Decimal("62.79")
    assert [number(line, "CreditedQuantity") for line in root.findall(f"{CAC}CreditNoteLine")] == [1, 1]
