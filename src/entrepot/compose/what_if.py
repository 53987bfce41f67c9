"""A past month under a world that is not applied, in scratch books."""

from entrepot.bills import rebill
from entrepot.compose.books import Report, open_current_books, open_scratch_books
from entrepot.compose.settings import Settings
from entrepot.core.errors import NO_WORLD, BadInput
from entrepot.core.invoices import Invoice
from entrepot.core.periods import Instant, Period
from entrepot.core.world import World, index_of
from entrepot.flows.price_diff import PriceDiff, Usage, newest_terms, price_diff


def month_under(
    settings: Settings,
    candidate: World,
    period: Period,
    *,
    as_of: Instant | None,
    as_dated: bool,
    by_events: bool,
    report: Report,
) -> PriceDiff:
    """What the candidate would change on the month. as_of: None for when the candidate's newest terms begin.

    as_dated: takes the candidate's contracts and prices as they are dated instead. Raises: BadInput.
    """
    with open_current_books(settings, report) as books, books.snapshot():
        terms = index_of(books.worlds())
        if terms is None:
            raise BadInput(NO_WORLD)
        if as_of is None and not as_dated:
            as_of = newest_terms(terms.world, candidate)
        return price_diff(
            books,
            terms,
            candidate,
            period,
            _rebill,
            as_of=as_of,
            by_events=by_events,
            progress=report,
        )


def _rebill(world: World, usage: Usage, first: Period, last: Period) -> list[Invoice]:
    with open_scratch_books() as scratch:
        return rebill(scratch, world, usage, first, last)
