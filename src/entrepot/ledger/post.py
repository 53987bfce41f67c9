"""Charges and invoices into balanced journal entries."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count

from entrepot.core.charges import Charge
from entrepot.core.invoices import ACCRUED_KINDS, Invoice, LineKind, Totals
from entrepot.core.journal import GENESIS, JournalEntry, Posting, chain, entry
from entrepot.core.money import parse_pico
from entrepot.core.periods import Instant
from entrepot.core.statements import Statement
from entrepot.core.tokens import RESERVED_MINUTES
from entrepot.ledger.chart_of_accounts import (
    commitment_held,
    cost_of_partner,
    credit_held,
    exchange_clearing,
    income_breakage,
    income_caps,
    income_credits,
    income_discounts,
    income_from_partner,
    income_grants,
    income_minimums,
    income_reservations,
    income_rounding,
    income_shortfalls,
    income_subscriptions,
    income_usage,
    partner_payable,
    partner_receivable,
    receivable_accrued,
    receivable_invoiced,
    tax_payable,
)

# Of lines whose amounts are in the invoice's currency from the beginning.
_IN_INVOICE_CURRENCY: tuple[LineKind, ...] = ("minimum", "subscription", "cap", "credit_bought", "credit_used")


def free_key(is_taken: Callable[[str], bool], key_of: Callable[[int], str]) -> str:
    """The key of the first revision that no entry has."""
    return next(key for key in map(key_of, count()) if not is_taken(key))


def usage_key(contract: str, hour: Instant, revision: int) -> str:
    """The key of the entry that accrues an hour of a contract; late usage of the hour makes the next revision."""
    return f"usage:{contract}:{hour}:{revision}"


def usage_entry(key: str, currency: str, charges: Sequence[Charge]) -> JournalEntry:
    """Accrued receivable against usage revenue, a leg per (model, meter, tier, price version), for one hour.

    charges: of one contract and hour, at least one.
    """
    legs: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for charge in charges:
        series = charge.series
        account = income_reservations() if charge.meter == RESERVED_MINUTES else income_usage(series.model)
        legs[account, charge.meter, series.tier, series.price_version] += charge.amount_pico
    debit = Posting(receivable_accrued(charges[0].series.customer), currency, sum(legs.values()))
    credited = (Posting(leg[0], currency, -legs[leg]) for leg in sorted(legs))
    return entry(key, "usage", charges[0].hour, (debit, *credited))


def invoice_entry(
    invoice: Invoice,
    totals: Totals,
    charged_in: str,
    accrued_pico: int,
    charged: Mapping[LineKind, int],
    at: Instant,
    granted_pico: int = 0,
) -> JournalEntry:
    """What was accrued, exact, becomes the rounded receivable of an invoice, with what its terms add and take.

    accrued_pico: of the usage on it. charged: {kind: exact pico of lines} in charged_in, the currency of prices; where
    that is not the invoice's, each currency balances through the clearing account. What rounding left over is posted by
    name. granted_pico: what granted credit pays of it.
    """
    customer, currency = invoice.customer, invoice.currency
    exact = totals.exact_pico
    usage = sum(charged.get(kind, 0) for kind in ACCRUED_KINDS)
    held = charged.get("purchase", 0) + charged.get("commitment", 0)
    legs = [
        Posting(receivable_accrued(customer), charged_in, -accrued_pico),
        Posting(income_discounts(), charged_in, accrued_pico - usage),
        Posting(commitment_held(customer), charged_in, -held),
        Posting(income_shortfalls(), charged_in, -charged.get("shortfall", 0)),
    ]
    if charged_in != currency:
        legs.append(Posting(exchange_clearing(), charged_in, sum(charged.values())))
        never_converted = sum(exact.get(kind, 0) for kind in _IN_INVOICE_CURRENCY)
        legs.append(Posting(exchange_clearing(), currency, never_converted - sum(exact.values())))
    credit = exact.get("credit_bought", 0) + exact.get("credit_used", 0)
    legs += [
        Posting(income_subscriptions(), currency, -exact.get("subscription", 0)),
        Posting(income_caps(), currency, -exact.get("cap", 0)),
        Posting(credit_held(customer), currency, granted_pico - credit),
        Posting(income_grants(), currency, -granted_pico),
        Posting(income_minimums(), currency, -exact.get("minimum", 0)),
        *(Posting(tax_payable(tax.name), currency, -parse_pico(tax.amount)) for tax in invoice.taxes),
        Posting(income_rounding(), currency, totals.residual_pico),
    ]
    owed = Posting(receivable_invoiced(customer), currency, parse_pico(invoice.total))
    return entry(f"invoice:{invoice.number}", "invoice", at, (owed, *legs))


def credit_entry(note: Invoice, at: Instant) -> JournalEntry:
    """What a credit note gives back: less is owed, what it was for has earned less, and so much less tax."""
    legs = [Posting(receivable_invoiced(note.customer), note.currency, parse_pico(note.total))]
    legs += [Posting(income_credits(line.model), note.currency, -parse_pico(line.amount)) for line in note.lines]
    legs += [Posting(tax_payable(tax.name), note.currency, -parse_pico(tax.amount)) for tax in note.taxes]
    return entry(f"credit:{note.number}", "credit", at, legs)


def breakage_key(contract: str, credit: str, revision: int) -> str:
    """The key of the entry that ends a credit; late usage of its months makes the next revision."""
    return f"breakage:{contract}:{credit}:{revision}"


def breakage_entry(key: str, customer: str, currency: str, amount_pico: int, at: Instant) -> JournalEntry:
    """Credit that was bought and not used in time is owed to nobody any more."""
    legs = (Posting(credit_held(customer), currency, amount_pico), Posting(income_breakage(), currency, -amount_pico))
    return entry(key, "breakage", at, legs)


def forfeit_key(contract: str, begins: Instant, revision: int) -> str:
    """The key of the entry that ends a prepaid commitment; late usage of its term makes the next revision."""
    return f"forfeit:{contract}:{begins}:{revision}"


def forfeit_entry(key: str, customer: str, currency: str, amount_pico: int, at: Instant) -> JournalEntry:
    """What was paid ahead and not drawn in time is owed to nobody any more."""
    legs = (
        Posting(commitment_held(customer), currency, amount_pico),
        Posting(income_shortfalls(), currency, -amount_pico),
    )
    return entry(key, "forfeit", at, legs)


def settlement_entry(statement: Statement, at: Instant) -> JournalEntry:
    """What a statement's agreements come to, each against its cost or income; owed by or to the partner, not netted."""
    legs = []
    for item in statement.documents:
        amount = parse_pico(item.amount)
        if item.direction == "pay":
            legs.append(Posting(cost_of_partner(statement.partner, item.kind), statement.currency, amount))
            legs.append(Posting(partner_payable(statement.partner), statement.currency, -amount))
        else:
            legs.append(Posting(partner_receivable(statement.partner), statement.currency, amount))
            legs.append(Posting(income_from_partner(statement.partner, item.kind), statement.currency, -amount))
    return entry(f"statement:{statement.number}", "statement", at, legs)


def journal_faults(entries: Iterable[tuple[JournalEntry, str]]) -> Iterator[str]:
    """What is wrong with a stored journal, entry by entry: sums that are not zero, hashes that do not follow."""
    previous = GENESIS
    for number, (item, stored) in enumerate(entries, start=1):
        sums: dict[str, int] = defaultdict(int)
        for leg in item.postings:
            sums[leg.currency] += leg.amount_pico
        if any(sums.values()):
            yield f"journal entry {number} ({item.key}) does not balance: {dict(sums)} pico"
        if stored != chain(previous, item):
            yield f"journal entry {number} ({item.key}) does not follow from the entry before it: it was altered"
        previous = stored
