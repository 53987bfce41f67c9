"""An invoice with something of everything, and its background, for documents to be made of."""

from datetime import date

from entrepot.core.invoices import Invoice, InvoiceLine, TaxLine
from entrepot.core.parties import Party
from entrepot.printing.sheet import Background

SELLER = Party(
    name="Contoso Cloud GmbH",
    country="DE",
    street="Marienplatz 1",
    postal_code="80331",
    city="München",
    tax_id="DE123456789",
    registration="HRB 123456",
    email="billing@contoso.example",
    iban="DE89370400440532013000",
    bic="COBADEFFXXX",
    payment_days=30,
)
BUYER = Party(name="株式会社東京 <Modelle> & Söhne", country="JP", street="丸の内1-1-1", city="東京都千代田区")

LINES = (
    InvoiceLine(
        1, "usage", "2024-05", "gpt-4", "input_tokens", "default", "1234567", "0.00003", "37.03701", "37.04", "peak"
    ),
    InvoiceLine(2, "usage", "2024-05", "gpt-4", "audio_output_tokens", "batch", "1000", None, "1.5", "1.50"),
    InvoiceLine(3, "usage", "2024-05", "gpt-4", "images", "default", "12", "0.04", "0.48", "0.48", "above_200000"),
    InvoiceLine(4, "adjustment", "2024-04", "gpt-4", "input_tokens", "default", "-500", "0.00003", "-0.015", "-0.02"),
    InvoiceLine(5, "minimum", "2024-05", "", "", "", "0", None, "961", "961.00"),
)
INVOICE = Invoice(
    number="2024-05-000001",
    period="2024-05",
    customer="tokyo",
    customer_name="Tokyo",
    contract="tokyo@2024-01-01",
    currency="USD",
    issued_at="2024-06-03T02:00:00Z",
    lines=LINES,
    net="1000.00",
    tax="7.41",
    total="1007.41",
    residual="0.00201",
    taxes=(TaxLine("MwSt", "19", "39.00", "7.41", lines=(1, 2, 3, 4)),),
    seller=SELLER,
    buyer=BUYER,
)
CREDIT = Invoice(
    number="2024-06-C00001",
    period="2024-06",
    customer="tokyo",
    customer_name="Tokyo",
    contract="tokyo@2024-01-01",
    currency="USD",
    issued_at="2024-06-03T02:00:00Z",
    lines=(
        InvoiceLine(2, "credit", "2024-05", "gpt-4", "audio_output_tokens", "batch", "0", None, "-1.5", "-1.50"),
        InvoiceLine(5, "credit", "2024-05", "", "", "", "0", None, "-61", "-61.00"),
    ),
    net="-62.50",
    tax="-0.29",
    total="-62.79",
    residual="0",
    taxes=(TaxLine("MwSt", "19", "-1.50", "-0.29", lines=(2,)),),
    corrects="2024-05-000001",
    reason="Audio was cut short",
    seller=SELLER,
    buyer=BUYER,
)
BACKGROUND = Background(
    day=date(2024, 6, 3),
    operator="Contoso",
    clauses={1: ["list@2024-01-01"], 2: ["list@2024-01-01", "list@2024-05-10"]},
)
