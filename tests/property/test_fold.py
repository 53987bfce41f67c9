"""What the fold must not depend on: how the log is cut, the order and repetition of usage, how usage is split."""

from collections.abc import Sequence

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from entrepot.adapters.sql.books import open_books
from entrepot.core.invoices import Invoice, InvoiceLine
from entrepot.core.log_records import (
    Abandoned,
    InstanceLost,
    LogRecord,
    Marked,
    MonthClosed,
    Progressed,
    ServedAt,
    UsageRecorded,
    UsageUntold,
)
from entrepot.core.money import parse_pico
from entrepot.core.periods import DAY, HOUR, MINUTE
from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Price, Step
from entrepot.core.tenancy import Project
from entrepot.core.tokens import PRICED_AS
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World
from entrepot.flows.compare_books import check
from entrepot.ports.books import Books
from entrepot.workers import Fold
from tests.support.billing import (
    APRIL,
    MARCH,
    ListLog,
    admitted,
    applied,
    contract,
    folded,
    prices,
    usage,
    version,
    world,
)

KOLKATA = "Asia/Kolkata"
# By window, by steps, by steps for all: the forms in which it could matter what came first.
PEAK = PriceWindow("peak", KOLKATA, (0, 1, 2, 3, 4), 5 * 60 + 45, 24 * 60)
PRICES = (
    *prices(("m", "input_tokens", "0.15")),
    Price("m", "input_tokens", "default", 250_000, "peak"),
    Price("m", "output_tokens", "default", 0, mode="graduated", steps=(Step(1000, 700_000), Step(None, 600_000))),
    Price("n", "input_tokens", "default", 0, mode="volume", steps=(Step(10**6, 2_500_000), Step(None, 2_000_000))),
)


def declared(*, with_batch: bool) -> World:
    rows = (*PRICES, *prices(("m", "input_tokens", "0.075"), tier="batch")) if with_batch else PRICES
    return world(
        msgspec.structs.replace(version(rows), windows=(PEAK,)),
        version(prices(("m", "input_tokens", "0.2"), ("m", "output_tokens", "0.60")), "2024-03-10"),
        customers=["acme", "beta"],
        contracts=[contract("acme", zone=KOLKATA), contract("beta", line_grain="model", currency="JPY")],
        projects=[Project("search", "acme")],
    )


WORLDS = [declared(with_batch=False), declared(with_batch=True)]

# Around what matters: month ends in both zones, the price change, hours.
TIMES = st.builds(
    lambda anchor, offset: anchor + offset,
    st.sampled_from([MARCH, MARCH - 5 * HOUR - 30 * MINUTE, MARCH + 9 * DAY, APRIL, APRIL - 5 * HOUR - 30 * MINUTE]),
    st.sampled_from([-HOUR, -1, 0, 1, 29 * MINUTE, HOUR]),
)
# Enough that a hundredth of it is something: usage of an unpriced meter waits, and so must each part of it.
QUANTITIES = st.one_of(st.just(0), st.integers(100, 10**6))
METERS = st.dictionaries(
    st.sampled_from(["input_tokens", "output_tokens", "reasoning_tokens", "images"]), QUANTITIES, max_size=3
)
IDS = st.sampled_from([f"{number:032x}" for number in range(9)] + ["x", "ü", "0" * 33])
EVENTS = st.builds(
    lambda name, at, customer, project, model, tier, meters: usage(
        name, at, customer=customer, project=project, model=model, tier=tier, meters=meters
    ),
    IDS,
    TIMES,
    st.sampled_from(["acme", "beta", "nobody"]),
    st.sampled_from(["search", "", "lab"]),
    st.sampled_from(["m", "m", "n"]),
    st.sampled_from(["default", "batch", "gold"]),
    METERS,
)
RECORDS: st.SearchStrategy[LogRecord] = st.one_of(
    EVENTS.map(lambda event: UsageRecorded(event=event)),
    EVENTS.map(lambda event: UsageRecorded(event=event)),
    st.builds(admitted, IDS, TIMES, st.sampled_from(["one", "two"])),
    st.builds(
        lambda name, count, others: Progressed(id=name, at=MARCH, output_tokens=count, others=tuple(others)),
        IDS,
        st.integers(0, 9),
        st.lists(st.tuples(IDS, st.integers(0, 9)), max_size=2),
    ),
    st.builds(
        lambda name, count: Abandoned(id=name, at=MARCH, outcome="client_left", answered=True, output_tokens=count),
        IDS,
        st.integers(0, 9),
    ),
    EVENTS.map(lambda event: UsageUntold(event, (), "one", (("acme", 3),))),
    st.builds(ServedAt, IDS, TIMES, st.sampled_from(["default", "flex"])),
    st.builds(lambda name: InstanceLost(instance=name, at=MARCH), st.sampled_from(["one", "two"])),
    st.sampled_from([applied(item) for item in WORLDS]),
    TIMES.map(lambda at: Marked(at=at)),
    st.builds(lambda at, period: MonthClosed(at=at, period=period), TIMES, st.sampled_from(["2024-02", "2024-03"])),
)


def fold_in_pieces(records: Sequence[LogRecord], sizes: Sequence[int]) -> Books:
    """Books folded in batches of the sizes, over and over, by a new fold for each."""
    books, log = open_books(":memory:"), ListLog(records)
    turn = 0
    while Fold(books).step(log, sizes[turn % len(sizes)]):
        turn += 1
    return books


@settings(max_examples=150)
@given(st.lists(RECORDS, max_size=40), st.lists(st.integers(1, 9), min_size=1, max_size=5))
@example([applied(WORLDS[0]), *(UsageRecorded(usage("x")) for _ in range(3))], [1, 2])
def test_how_the_log_is_cut_does_not_matter(records: list[LogRecord], sizes: list[int]) -> None:
    whole = fold_in_pieces(records, [1000])
    pieces = fold_in_pieces(records, sizes)
    assert pieces.digest() == whole.digest()
    assert list(check(whole)) == []


LAST: list[LogRecord] = [
    Marked(at=APRIL + DAY),
    MonthClosed(at=APRIL + DAY, period="2024-02"),
    MonthClosed(at=APRIL + DAY, period="2024-03"),
]


def invoiced(records: Sequence[LogRecord]) -> list[Invoice]:
    books = folded(applied(WORLDS[1]), *records, *LAST)
    assert list(check(books)) == []
    for invoice in books.invoices():
        for line in invoice.lines:
            assert _behind(books, invoice, line) == int(line.quantity)
    return books.invoices()


def _behind(books: Books, invoice: Invoice, line: InvoiceLine) -> int:
    """What the requests behind a line used of what the line charges for."""
    return sum(
        quantity
        for event in books.requests_of_line(invoice.number, line.number)
        for meter, quantity in event.meters.items()
        if line.meter in ("", meter, PRICED_AS.get(meter))
    )


UNIQUE_EVENTS = st.lists(EVENTS, max_size=15, unique_by=lambda event: event.id)


@settings(max_examples=100)
@given(UNIQUE_EVENTS, st.data())
def test_order_and_repetition_of_usage_do_not_matter(events: list[UsageEvent], data: st.DataObject) -> None:
    """Marks in between move the moment of accrual, never the invoice."""
    again = data.draw(st.lists(st.sampled_from(events), max_size=10)) if events else []
    mixed = data.draw(st.permutations([UsageRecorded(event=event) for event in (*events, *again)]))
    marks = data.draw(st.lists(TIMES.map(lambda at: Marked(at=at)), max_size=3))
    at = data.draw(st.integers(0, len(mixed)))
    assert invoiced([*mixed[:at], *marks, *mixed[at:]]) == invoiced([UsageRecorded(event=event) for event in events])


@settings(max_examples=100)
@given(UNIQUE_EVENTS, st.integers(1, 99))
def test_splitting_usage_does_not_matter(events: list[UsageEvent], percent: int) -> None:
    """A record in two, with the same names and time, costs what it cost in one."""
    parts = [part for event in events for part in _split(event, percent)]
    assert invoiced([UsageRecorded(event=part) for part in parts]) == invoiced(
        [UsageRecorded(event=event) for event in events]
    )


def _split(event: UsageEvent, percent: int) -> tuple[UsageEvent, UsageEvent]:
    first = {meter: quantity * percent // 100 for meter, quantity in event.meters.items()}
    rest = {meter: quantity - first[meter] for meter, quantity in event.meters.items()}
    return _part(event, "1", first), _part(event, "2", rest)


def _part(event: UsageEvent, suffix: str, meters: dict[str, int]) -> UsageEvent:
    return usage(
        event.id + suffix,
        event.admitted_at,
        customer=event.customer,
        project=event.project,
        model=event.model,
        tier=event.tier,
        meters=meters,
    )


@settings(max_examples=100)
@given(UNIQUE_EVENTS, st.data())
def test_late_usage_is_invoiced_once_and_comes_to_the_same(events: list[UsageEvent], data: st.DataObject) -> None:
    """Whatever comes after a close is on a later invoice, under its own month; the exact sums are those of in time."""
    cut = data.draw(st.integers(0, len(events)))
    records: list[LogRecord] = [UsageRecorded(event=event) for event in events]
    in_time = invoiced(records)
    late = invoiced([*records[:cut], *LAST, *records[cut:]])
    assert _exact(late) == _exact(in_time)


def _exact(invoices: Sequence[Invoice]) -> dict[tuple[str, str, str], int]:
    """{(contract, service period, model): exact pico}, without the zeros."""
    sums: dict[tuple[str, str, str], int] = {}
    for invoice in invoices:
        for line in invoice.lines:
            key = (invoice.contract, line.period, line.model)
            sums[key] = sums.get(key, 0) + parse_pico(line.exact)
    return {key: pico for key, pico in sums.items() if pico}


@settings(max_examples=100)
@given(UNIQUE_EVENTS)
def test_lines_and_residual_are_the_exact_sum_and_the_ledger_agrees(events: list[UsageEvent]) -> None:
    books = folded(applied(WORLDS[1]), *(UsageRecorded(event=event) for event in events), *LAST)
    owed: dict[tuple[str, str], int] = {}
    for invoice in books.invoices():
        exact = sum(parse_pico(line.exact) for line in invoice.lines)
        rounded = sum(parse_pico(line.amount) for line in invoice.lines)
        assert rounded == parse_pico(invoice.net) == parse_pico(invoice.total)
        assert exact == rounded + parse_pico(invoice.residual)
        account = (f"assets:receivable:invoiced:{invoice.customer}", invoice.currency)
        owed[account] = owed.get(account, 0) + rounded
    kept = {key: pico for key, pico in books.balances().items() if key[0].startswith("assets:receivable:invoiced:")}
    assert kept == {key: pico for key, pico in owed.items() if pico}
