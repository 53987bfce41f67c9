"""Charges and invoices into balanced journal entries."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from entrepot.core.charges import Charge
from entrepot.core.invoices import Totals
from entrepot.core.journal import GENESIS, JournalEntry, Posting, chain, entry
from entrepot.core.periods import Instant
from entrepot.ledger.chart_of_accounts import income_rounding, income_usage, receivable_accrued, receivable_invoiced


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
        legs[series.model, charge.meter, series.tier, series.price_version] += charge.amount_pico
    debit = Posting(receivable_accrued(charges[0].series.customer), currency, sum(legs.values()))
    credited = (Posting(income_usage(leg[0]), currency, -legs[leg]) for leg in sorted(legs))
    return entry(key, "usage", charges[0].hour, (debit, *credited))


def invoice_entry(number: str, customer: str, currency: str, totals: Totals, at: Instant) -> JournalEntry:
    """The exact accrued sum becomes the rounded receivable of an invoice; what rounding left over is posted by name."""
    return entry(
        f"invoice:{number}",
        "invoice",
        at,
        (
            Posting(receivable_invoiced(customer), currency, totals.net_pico),
            Posting(receivable_accrued(customer), currency, -totals.exact_pico),
            Posting(income_rounding(), currency, totals.residual_pico),
        ),
    )


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
