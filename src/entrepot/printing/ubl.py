"""An issued invoice as an electronic one: EN 16931 in the syntax of UBL 2.1.

Names such as BT-31 and BR-O-02 are the standard's own terms and rules.
"""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from entrepot.core.errors import BadInput
from entrepot.core.invoices import USAGE_KINDS, Invoice, InvoiceLine
from entrepot.core.money import format_minor, format_pico, minor_digits, parse_pico
from entrepot.core.parties import Party
from entrepot.core.periods import parse_period
from entrepot.core.prices import PRICE_QUANTITY
from entrepot.core.printed import PrintedInvoice, PrintedLine
from entrepot.printing.sheet import Background, days_of, due_day
from entrepot.printing.ubl_tree import Node, document

_SPECIFICATION = "urn:cen.eu:en16931:2017"
_INVOICE, _CREDIT_NOTE = "380", "381"  # UNTDID 1001
_CREDIT_TRANSFER = "30"  # UNTDID 4461
_UNITS = {"audio_seconds": "SEC", "provisioned_unit_hours": "HUR"}  # UN/ECE Recommendation 20; C62 is "one".
_DIGITS_MAX = 2  # BR-DEC: of every amount.


class _Category(NamedTuple):
    """A VAT category (UNTDID 5305): S standard rate, Z zero rate, E exempt, O not subject to VAT, AE reverse charge."""

    code: str
    percent: str


_OUTSIDE, _EXEMPT, _REVERSE = _Category("O", ""), _Category("E", "0"), _Category("AE", "0")
_REASONS = {_OUTSIDE: "Not subject to VAT", _EXEMPT: "Exempt from VAT", _REVERSE: "Reverse charge"}


def ubl_of(invoice: Invoice, sheet: PrintedInvoice, background: Background) -> bytes:
    """The XML, in UTF-8. sheet: the invoice as printed, for its words. Raises: BadInput for what it cannot say."""
    seller, buyer = _parties(invoice)
    kind = "CreditNote" if invoice.corrects else "Invoice"
    if invoice.corrects:
        invoice = _turned(invoice)
    categories = _categories(invoice)
    outside = _OUTSIDE in categories.values()
    root = document(kind)
    root.put("CustomizationID", _SPECIFICATION)
    root.put("ID", invoice.number)
    root.put("IssueDate", background.day.isoformat())
    if seller.payment_days and not invoice.corrects:
        root.put("DueDate", due_day(background.day, seller).isoformat())
    root.put(f"{kind}TypeCode", _CREDIT_NOTE if invoice.corrects else _INVOICE)
    for note in sheet.notes:
        root.put("Note", f"{note.value} {note.command}".rstrip())
    root.put("DocumentCurrencyCode", invoice.currency)
    _put_period(root, invoice.period)
    if invoice.corrects:
        root.add("BillingReference").add("InvoiceDocumentReference").put("ID", invoice.corrects)
    root.add("ContractDocumentReference").put("ID", invoice.contract)
    _put_party(root.add("AccountingSupplierParty").add("Party"), seller, outside=outside, sells=True)
    _put_party(root.add("AccountingCustomerParty").add("Party"), buyer, outside=outside, sells=False)
    _put_payment(root, invoice, seller, f"{sheet.facts[-2].label} {invoice.contract}")
    _put_taxes(root, invoice, categories)
    totals = root.add("LegalMonetaryTotal")
    for name, amount in (
        ("LineExtensionAmount", invoice.net),
        ("TaxExclusiveAmount", invoice.net),
        ("TaxInclusiveAmount", invoice.total),
        ("PayableAmount", invoice.total),
    ):
        totals.put(name, amount, currencyID=invoice.currency)
    printed = [line for group in sheet.groups for line in group.lines]
    for line, words in zip(invoice.lines, printed, strict=True):
        _put_line(root.add(f"{kind}Line"), line, words, invoice, categories[line.number])
    return root.encoded()


def _turned(note: Invoice) -> Invoice:
    """A credit note with its signs turned: the kind of document says already that it gives back."""
    replace = msgspec.structs.replace
    return replace(
        note,
        lines=tuple(replace(line, amount=_minus(line.amount), exact=_minus(line.exact)) for line in note.lines),
        taxes=tuple(replace(tax, net=_minus(tax.net), amount=_minus(tax.amount)) for tax in note.taxes),
        net=_minus(note.net),
        tax=_minus(note.tax),
        total=_minus(note.total),
    )


def _minus(amount: str) -> str:
    return amount[1:] if amount.startswith("-") else f"-{amount}" if parse_pico(amount) else amount


def _parties(invoice: Invoice) -> tuple[Party, Party]:
    """(seller, buyer). Raises: BadInput for what the standard asks for and the invoice does not have."""
    if minor_digits(invoice.currency) > _DIGITS_MAX:
        raise BadInput(
            f"EN 16931 has two decimals at most (BR-DEC), so no amounts in {invoice.currency}; use pdf or html"
        )
    for who, party in (("operator", invoice.seller), (f"customer {invoice.customer}", invoice.buyer)):
        if not party:
            raise BadInput(
                f"an electronic invoice names its seller and buyer with their country, but when {invoice.number} was "
                f"issued the world had no party of the {who}; declare it before the month is closed"
            )
    assert isinstance(invoice.seller, Party)
    assert isinstance(invoice.buyer, Party)
    if not (invoice.seller.tax_id or (invoice.seller.registration and not invoice.taxes)):
        raise BadInput(
            "an electronic invoice needs the operator's tax_id, or, without tax, its registration (BR-CO-26)"
        )
    is_reverse = any(tax.reverse_charge and tax.lines for tax in invoice.taxes)
    if is_reverse and not (invoice.buyer.tax_id or invoice.buyer.registration):
        raise BadInput(
            f"an electronic invoice with reverse charge needs the tax_id of customer {invoice.customer} (BR-AE-02); "
            "declare it in its party before the month is closed"
        )
    return invoice.seller, invoice.buyer


def _categories(invoice: Invoice) -> dict[int, _Category]:
    """{number of a line: what it is to VAT}. Where some lines are taxed, the others are exempt (BR-O-11)."""
    categories = {line.number: _EXEMPT if invoice.taxes else _OUTSIDE for line in invoice.lines}
    for tax in invoice.taxes:
        category = _REVERSE if tax.reverse_charge else _Category("S" if parse_pico(tax.percent) else "Z", tax.percent)
        categories |= dict.fromkeys(tax.lines, category)
    return categories


def _put_period(node: Node, period: str) -> None:
    first, last = days_of(parse_period(period))
    dates = node.add("InvoicePeriod")
    dates.put("StartDate", first.isoformat())
    dates.put("EndDate", last.isoformat())


def _put_party(node: Node, party: Party, *, outside: bool, sells: bool) -> None:
    """outside: not subject to VAT; then no VAT identifier may be named (BR-O-02), and it stands as a legal one."""
    if party.email:
        node.put("EndpointID", party.email, schemeID="EM")
    address = node.add("PostalAddress")
    for name, text in (("StreetName", party.street), ("CityName", party.city), ("PostalZone", party.postal_code)):
        if text:
            address.put(name, text)
    address.add("Country").put("IdentificationCode", party.country)
    is_vat = party.tax_id[:2].isalpha()  # BR-CO-09: a VAT identifier begins with its country.
    legal = party.registration
    if party.tax_id and not outside and (is_vat or sells):
        scheme = node.add("PartyTaxScheme")
        scheme.put("CompanyID", party.tax_id)
        scheme.add("TaxScheme").put("ID", "VAT" if is_vat else "TAX")
    else:
        legal = legal or party.tax_id
    entity = node.add("PartyLegalEntity")
    entity.put("RegistrationName", party.name)
    if legal:
        entity.put("CompanyID", legal)
    if party.email:
        node.add("Contact").put("ElectronicMail", party.email)


def _put_payment(root: Node, invoice: Invoice, seller: Party, agreed: str) -> None:
    if seller.iban and not invoice.corrects:
        means = root.add("PaymentMeans")
        means.put("PaymentMeansCode", _CREDIT_TRANSFER)
        means.put("PaymentID", invoice.number)
        account = means.add("PayeeFinancialAccount")
        account.put("ID", seller.iban)
        account.put("Name", seller.name)
        if seller.bic:
            account.add("FinancialInstitutionBranch").put("ID", seller.bic)
    if invoice.corrects or not seller.payment_days:
        root.add("PaymentTerms").put("Note", agreed)  # BR-CO-25: what is due needs a date or terms.


def _put_taxes(root: Node, invoice: Invoice, categories: dict[int, _Category]) -> None:
    """The breakdown: each category once, its net the sum of its lines (BR-S-08), its tax that of the invoice."""
    total = root.add("TaxTotal")
    total.put("TaxAmount", invoice.tax, currencyID=invoice.currency)
    for category, (net, tax) in sorted(_breakdown(invoice, categories).items()):
        part = total.add("TaxSubtotal")
        part.put("TaxableAmount", format_minor(net, invoice.currency), currencyID=invoice.currency)
        part.put("TaxAmount", format_minor(tax, invoice.currency), currencyID=invoice.currency)
        node = part.add("TaxCategory")
        _put_category(node, category)


def _breakdown(invoice: Invoice, categories: dict[int, _Category]) -> dict[_Category, tuple[int, int]]:
    """{category: (net, tax)} in pico."""
    taxes: dict[_Category, int] = {}
    for tax in invoice.taxes:
        if tax.lines:
            category = categories[tax.lines[0]]
            taxes[category] = taxes.get(category, 0) + parse_pico(tax.amount)
    nets: dict[_Category, int] = {}
    for line in invoice.lines:
        category = categories[line.number]
        nets[category] = nets.get(category, 0) + parse_pico(line.amount)
    return {category: (net, taxes.get(category, 0)) for category, net in nets.items()}


def _put_category(node: Node, category: _Category, *, reason: bool = True) -> None:
    node.put("ID", category.code)
    if category.percent:
        node.put("Percent", category.percent)
    if reason and category in _REASONS:
        node.put("TaxExemptionReason", _REASONS[category])
    node.add("TaxScheme").put("ID", "VAT")


def _put_line(node: Node, line: InvoiceLine, words: PrintedLine, invoice: Invoice, category: _Category) -> None:
    unit = _UNITS.get(line.meter, "C62")
    currency = invoice.currency
    if invoice.conversions:
        line = msgspec.structs.replace(line, unit_price=None)  # It is in another currency than the invoice.
    quantity, price, base = _terms_of(line)
    node.put("ID", str(line.number))
    node.put("CreditedQuantity" if invoice.corrects else "InvoicedQuantity", quantity, unitCode=unit)
    node.put("LineExtensionAmount", line.amount, currencyID=currency)
    _put_period(node, line.period)
    item = node.add("Item")
    if words.clause:
        item.put("Description", words.clause)
    item.put("Name", words.what)
    _put_category(item.add("ClassifiedTaxCategory"), category, reason=False)
    for name, value in _properties(line):
        detail = item.add("AdditionalItemProperty")
        detail.put("Name", name)
        detail.put("Value", value)
    price_node = node.add("Price")
    price_node.put("PriceAmount", price, currencyID=currency)
    price_node.put("BaseQuantity", base, unitCode=unit)


def _terms_of(line: InvoiceLine) -> tuple[str, str, str]:
    """(quantity, price, of how many units): a line without one price is one unit of its amount, the sign on it.

    Prices are not negative (BR-27).
    """
    if line.unit_price is None:
        amount = parse_pico(line.amount)
        return ("-1" if amount < 0 else "1"), line.amount.removeprefix("-"), "1"
    price = format_pico(parse_pico(line.unit_price) * PRICE_QUANTITY)
    return line.quantity, price, str(PRICE_QUANTITY)


def _properties(line: InvoiceLine) -> Iterator[tuple[str, str]]:
    yield "exact amount", line.exact
    if line.unit_price is None and line.kind in USAGE_KINDS:
        yield "quantity", line.quantity
