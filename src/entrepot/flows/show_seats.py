"""The seats of a month from the books: what the world says of them, and what was used with them."""

from entrepot.core.periods import Instant, Period
from entrepot.core.world import WorldIndex, index_of
from entrepot.ports.books import Books
from entrepot.reporting.seats import Buyer, SeatsReport, Used, seats_report, used_by


def show_seats(books: Books, period: Period) -> SeatsReport | None:
    """The report of a month, or None where no subscription has begun by its end."""
    terms = index_of(books.worlds())
    if terms is None:
        return None
    subscriptions = [
        item for item in terms.world.subscriptions if item.begins < period.end(_buyer(terms, item.customer).zone)
    ]
    buyers = {item.customer: _buyer(terms, item.customer) for item in subscriptions}

    def usage(customer: str, begins: Instant, ends: Instant) -> dict[str, Used]:
        return used_by(books.events(begins, ends, customer))

    return seats_report(period, subscriptions, buyers, usage) if subscriptions else None


def _buyer(terms: WorldIndex, customer: str) -> Buyer:
    """The customer, with the zone and currency of its latest contract."""
    contract = terms.contracts_of(customer)[-1]
    return Buyer(terms.customers[customer].name, contract.zone, contract.currency)
