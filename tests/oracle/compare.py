"""Rounds through both, and what differs."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from entrepot.flows.compare_books import check
from tests.oracle.bills import Customer
from tests.oracle.cases import Round
from tests.oracle.generated import round_of
from tests.oracle.papers import Paper
from tests.oracle.product import books_of, paper_of, place_of, records_of


def compared(office: Round) -> tuple[int, list[str]]:
    """(lines of the oracle, what product and oracle do not agree on in sentences)."""
    books = books_of(office, records_of(office))
    customers = [Customer(office, case) for case in office.cases]
    expected = {
        (place, paper.deal): paper
        for place, period in enumerate(office.closes)
        for customer in customers
        for paper in customer.close(period)
    }
    told: dict[tuple[int, str], Paper] = {}
    printed = books.invoices()
    for invoice in printed:
        paper = paper_of(invoice)
        if paper is not None:
            told[place_of(invoice, office), paper.deal] = paper
    found = [*_papers(expected, told), *check(books)]
    unpriced = {item.event.id for item in books.quarantined()}
    wanted = {name for customer in customers for name in customer.unpriced}
    if unpriced != wanted:
        found.append(
            f"in quarantine {sorted(unpriced - wanted)}, which have prices; not there {sorted(wanted - unpriced)}"
        )
    owed = Counter[str]()
    for (account, currency), amount in books.balances().items():
        if account.startswith("assets:receivable:invoiced:"):
            owed[currency] += amount
    for invoice in printed:
        owed[invoice.currency] -= int(Fraction(invoice.total) * 10**12)
    if any(owed.values()):
        found.append(f"customers owe other sums than are on their invoices: {dict(owed)}")
    books.close()
    return sum(len(paper.lines) for paper in expected.values()), found


def _papers(expected: dict[tuple[int, str], Paper], told: dict[tuple[int, str], Paper]) -> Iterator[str]:
    for key in sorted(expected.keys() | told.keys()):
        if expected.get(key) != told.get(key):
            yield f"close {key[0]} of {key[1]}:\n    oracle  {expected.get(key)}\n    product {told.get(key)}"


class Agreement(NamedTuple):
    """Cases, usage records and lines that were compared, and what differed."""

    cases: int
    uses: int
    lines: int
    differences: list[str]

    def plus(self, other: "Agreement") -> "Agreement":
        """Both together, with the differences of neither."""
        return Agreement(self.cases + other.cases, self.uses + other.uses, self.lines + other.lines, [])


def agree(seed: int) -> Agreement:
    """What came of the round of a seed."""
    office = round_of(seed)
    uses = sum(len(case.uses) for case in office.cases)
    lines, differences = compared(office)
    return Agreement(len(office.cases), uses, lines, differences)
