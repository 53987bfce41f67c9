"""What a period's books say, as one document: what `entrepot bill` prints."""

from collections import defaultdict

import msgspec

from entrepot.core.invoices import Conversion, Invoice, InvoiceLine, TaxLine
from entrepot.core.periods import Period
from entrepot.core.statements import Statement
from entrepot.ledger.post import journal_faults
from entrepot.ports.books import Books, LedgerStore, QuarantineKind


class BilledInvoice(msgspec.Struct, frozen=True):
    """An invoice as it would be issued, without number and date: those are given when a period is closed."""

    customer: str
    customer_name: str
    contract: str
    currency: str
    lines: tuple[InvoiceLine, ...]
    net: str
    tax: str
    total: str
    residual: str
    taxes: tuple[TaxLine, ...]
    conversions: tuple[Conversion, ...]


class LedgerState(msgspec.Struct, frozen=True):
    """The journal in one line. balanced: every entry sums to zero and follows from the one before it."""

    entries: int
    root: str
    balanced: bool


class WaitingUsage(msgspec.Struct, frozen=True):
    """A usage record that is not on the bill, and why."""

    id: str
    kind: QuarantineKind
    reason: str


class Bill(msgspec.Struct, frozen=True):
    """The document. settlements: with partners."""

    period: str
    invoices: tuple[BilledInvoice, ...]
    settlements: tuple[Statement, ...]
    ledger: LedgerState
    quarantine: tuple[WaitingUsage, ...]


def show_bill(books: Books, period: Period) -> Bill:
    """The invoices of a period with the state of ledger and quarantine."""
    return Bill(
        period=str(period),
        invoices=tuple(_billed(invoice) for invoice in books.invoices(str(period))),
        settlements=tuple(books.statements(str(period))),
        ledger=ledger_state(books),
        quarantine=tuple(
            WaitingUsage(id=item.event.id, kind=item.kind, reason=item.reason) for item in books.quarantined()
        ),
    )


def ledger_state(ledger: LedgerStore) -> LedgerState:
    """How many entries there are, the hash that vouches for all of them, and whether they check."""
    entries, root = ledger.root()
    sums: dict[str, int] = defaultdict(int)
    for (_, currency), pico in ledger.balances().items():
        sums[currency] += pico
    faults = next(journal_faults(ledger.entries()), None)
    return LedgerState(entries=entries, root=f"sha256:{root}", balanced=faults is None and not any(sums.values()))


def _billed(invoice: Invoice) -> BilledInvoice:
    return BilledInvoice(
        customer=invoice.customer,
        customer_name=invoice.customer_name,
        contract=invoice.contract,
        currency=invoice.currency,
        lines=invoice.lines,
        net=invoice.net,
        tax=invoice.tax,
        total=invoice.total,
        residual=invoice.residual,
        taxes=invoice.taxes,
        conversions=invoice.conversions,
    )
