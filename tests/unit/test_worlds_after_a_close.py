"""Worlds that are applied after a month was closed and settled: what would charge or state the month anew is refused.

What is not refused comes to the same for the closed month: late usage, a second close, another settlement and a credit
note find it as it would have been without the change, and what was issued of it is printed as it was.
"""

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.adapters.sql.books import open_books
from entrepot.adapters.typst_pages.typesetter import TypstTypesetter
from entrepot.core.errors import WorldRejected
from entrepot.core.log_records import InvoiceCredited, LogRecord, Marked, MonthClosed, MonthSettled, UsageRecorded
from entrepot.core.periods import HOUR, parse_instant
from entrepot.core.world import index_of
from entrepot.exporting.focus_columns import focus_columns
from entrepot.flows.administer import Office, apply_world
from entrepot.flows.compare_books import check
from entrepot.flows.render_invoice import render_invoice
from entrepot.flows.render_statement import render_statement
from entrepot.flows.tell_costs.focus import focus_rows
from entrepot.ports.tables import Cell
from entrepot.provisioning.world_file import read_world
from entrepot.workers import fold
from tests.support.billing import usage
from tests.support.memory_log import ManualClock, MemoryLog
from tests.support.worlds import changed

DESK = '  - {id: desk, customer: seated, each_month: "30", from: 2024-03-01, to: 2024-04-01, months: 1, seats: 3}\n'
WORLD = f"""\
operator: {{name: Meridian, currency: USD}}
partners: [{{id: maker, name: Maker}}]
models:
  - {{id: m, partner: maker, context_tokens: 8192}}
  - {{id: ours, partner: own, context_tokens: 8192}}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices: [{{model: m, meter: input_tokens, per_million: "100"}}, {{model: ours, meter: input_tokens, per_million: "50"}}]
  - id: euros
    currency: EUR
    versions:
      - effective_from: 2024-01-01
        prices: [{{model: m, meter: input_tokens, per_million: "100"}}, {{model: ours, meter: input_tokens, per_million: "50"}}]
customers: [{{id: taxed}}, {{id: least}}, {{id: most}}, {{id: abroad}}, {{id: seated}}]
contracts:
  - customer: taxed
    effective_from: 2024-01-01
    price_book: list
    zone: Asia/Kolkata
    terms: [{{kind: tax, percent: "10.5", name: GST, models: [m]}}, {{kind: tax, percent: "5", name: VAT}}]
  - {{customer: least, effective_from: 2024-01-01, effective_to: 2024-03-16, price_book: list, terms: [{{kind: minimum, monthly: "99"}}]}}
  - {{customer: most, effective_from: 2024-01-01, effective_to: 2024-03-16, price_book: list, terms: [{{kind: cap, monthly: "20"}}]}}
  - {{customer: abroad, effective_from: 2024-01-01, price_book: euros}}
  - customer: seated
    effective_from: 2024-01-01
    price_book: list
    terms: [{{kind: commitment, amount: "20", term: {{from: 2024-03-01, to: 2024-05-01}}, overage: "1.1"}}]
exchange_rates: [{{from: EUR, to: USD, rate: "1.085", on: 2024-01-01}}]
agreements:
  - {{partner: maker, kind: resale_share, direction: pay, percent: "12.5"}}
  - {{partner: maker, kind: direct_sales_share, direction: receive, percent: "20"}}
  - {{partner: maker, kind: capacity_rental, direction: pay, unit: gpu_hour, each: "1.005"}}
partner_reports:
  - {{partner: maker, kind: direct_sales_share, period: 2024-03, sales: "1000.025"}}
  - {{partner: maker, kind: capacity_rental, period: 2024-03, units: "1"}}
subscriptions:
{DESK}"""  # noqa: E501 - as in a file
LEAST, MOST = (f"price_book: list, terms: [{{kind: {kind}" for kind in ("minimum", "cap"))
ONE = '        prices: [{model: m, meter: input_tokens, per_million: "200"}]\n'
CUSTOMERS = ("taxed", "least", "most", "abroad", "seated")
CLOSED, LATER = parse_instant("2024-04-02T12:00:00Z"), parse_instant("2024-05-02T12:00:00Z")


def used(name: str, at: str, tokens: int, model: str = "m") -> list[LogRecord]:
    """Usage of each customer."""
    return [
        UsageRecorded(
            usage(
                f"{name}-{customer}",
                at,
                customer=customer,
                project="p",
                deployment="d",
                model=model,
                meters={"input_tokens": tokens},
            )
        )
        for customer in CUSTOMERS
    ]


def ended(at: int, *months: str) -> list[LogRecord]:
    """The months are closed and settled."""
    made = (kind(at=at, period=month) for month in months for kind in (MonthClosed, MonthSettled))
    return [Marked(at=at), *made]


class Month(NamedTuple):
    """What a month comes to in the end.

    papers, costs: what was issued of it before the change, as it is printed and exported as FOCUS then.
    """

    sums: dict[tuple[str, ...], Fraction]
    papers: list[bytes]
    costs: list[list[Cell]]


def march_after(folder: Path, *worlds: str) -> Month:
    """March in the end, when the worlds are applied one by one after its close. Raises: WorldRejected."""
    log, books, clock = MemoryLog(), open_books(":memory:"), ManualClock(parse_instant("2024-01-05"))
    office = Office(books, log, lambda: fold(books, log), clock, FileSnapshots(folder / "snapshot.json"), dict)
    apply_world(office, read_world([("world.yaml", WORLD)]))
    log.append(
        [*used("a", "2024-03-10", 100_050), *used("b", "2024-03-12", 333_333, "ours"), *ended(CLOSED, "2024-03")]
    )
    office.fold()
    clock.at = CLOSED + HOUR
    taxed = books.invoices("2024-03", "taxed@2024-01-01")[0].number
    invoices = [invoice.number for invoice in books.invoices("2024-03")]
    statements = [statement.number for statement in books.statements()]
    log.append([InvoiceCredited(at=CLOSED, invoice=taxed, lines=((1, "1.00"),), reason="a slip")])
    for text in worlds:
        apply_world(office, read_world([("world.yaml", text)]))
    log.append([*used("c", "2024-03-14", 110), *ended(LATER, "2024-03", "2024-04")])
    log.append([InvoiceCredited(at=LATER, invoice=taxed, lines=((1, ""),), reason="all of it")])
    office.fold()
    assert list(check(books)) == []
    sums: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
    for invoice in books.invoices():
        sums[invoice.customer, "tax", invoice.corrects] += Fraction(invoice.tax)
        for line in invoice.lines:
            if line.period == "2024-03":
                kind = "usage" if line.kind == "adjustment" else line.kind
                sums[invoice.customer, kind, line.model, invoice.corrects] += Fraction(line.amount)
    for statement in books.statements():
        for item in statement.documents if statement.period == "2024-03" else ():
            sums[item.agreement,] += Fraction(item.amount)
    press = TypstTypesetter()
    papers = [render_invoice(books, number, "html", "de", press).content for number in invoices]
    papers += [render_statement(books, number, "html", "de", press).content for number in statements]
    of = [column.name for column in focus_columns("1.2")].index("InvoiceId")
    costs = [row for row in focus_rows(books, index_of(books.worlds()), "1.2", None, None) if row[of] in invoices]
    books.close()
    return Month(sums, papers, costs)


def instead(*replaced: tuple[str, str]) -> str:
    text = WORLD
    for old, new in replaced:
        text = changed(old, new, text)
    return text


RESTATING: dict[str, tuple[Sequence[str], str]] = {
    "rounding": (
        [instead(("currency: USD}\npartners", "currency: USD, rounding: half_even}\npartners"))],
        "operator.rounding is half_up in months that are closed, the last of them 2024-03, and cannot become half_even",
    ),
    "the operator's currency": ([instead(("Meridian, currency: USD", "Meridian, currency: EUR"))], "contract taxed@"),
    "a zone": ([instead(("zone: Asia/Kolkata", "zone: UTC"))], "contract taxed@2024-01-01 has usage or invoices"),
    "the order of taxes": (
        [
            instead(
                ('{kind: tax, percent: "10.5", name: GST, models: [m]}, ', ""),
                ("name: VAT}", 'name: VAT}, {kind: tax, percent: "10.5", name: GST, models: [m]}'),
            )
        ],
        "contract taxed@2024-01-01 has usage or invoices",
    ),
    "the end of a contract with a minimum": (
        [instead((f"effective_to: 2024-03-16, {LEAST}", LEAST))],
        "contract least@2024-01-01 has ended on 2024-03-16T00:00:00Z and cannot end later",
    ),
    "the end of a contract with a cap": (
        [instead((f"2024-03-16, {MOST}", f"2024-03-17, {MOST}"))],
        "declare a further contract of the customer with effective_from 2024-03-16T00:00:00Z",
    ),
    "a rate": ([instead(('"1.085"', '"1.09"'))], "the exchange rate from EUR"),
    "a rate of the month": (
        [instead(("exchange_rates: [", 'exchange_rates: [{from: EUR, to: USD, rate: "1.2", on: 2024-03-31}, '))],
        "the exchange rate from EUR to USD at the end of 2024-03",
    ),
    "a share": ([instead(('"12.5"', '"13"'))], "agreement maker/resale_share@always holds for months"),
    "a rental": ([instead(('"1.005"', '"1.006"'))], "agreement maker/capacity_rental@always holds for months"),
    "the partner of a model": ([instead(("{id: m, partner: maker", "{id: m, partner: own"))], "model m is of maker"),
    "the grain of lines": (
        [instead(("terms: [{kind: tax", "terms: [{kind: lines, grain: model}, {kind: tax"))],
        "contract taxed@2024-01-01 has usage or invoices",
    ),
    "a commitment": ([instead(('amount: "20"', 'amount: "25"'))], "contract seated@2024-01-01 has usage or invoices"),
    "the currency of prices": ([instead(("id: list\n", "id: list\n    currency: EUR\n"))], "contract taxed@"),
    "the price of seats": ([instead(('each_month: "30"', 'each_month: "40"'))], "subscription desk has begun"),
    "seats that are over and come back dearer": (
        [instead((f"subscriptions:\n{DESK}", "")), instead(('each_month: "30"', 'each_month: "40"'))],
        "subscription desk has begun and cannot change",
    ),
    "other seats of a product that was charged": (
        [instead(("id: desk", "id: other, product: desk"))],
        "subscription other is of the same product and customer as desk, which was charged until 2024-04-01",
    ),
    "other seats of a product that had been charged": (
        [instead((f"subscriptions:\n{DESK}", "")), instead(("id: desk", "id: other, product: desk"))],
        "let it begin then, or name its product otherwise",
    ),
}


@pytest.mark.parametrize("change", RESTATING)
def test_what_would_charge_or_state_a_closed_month_anew_is_refused(change: str, tmp_path: Path) -> None:
    *before, refused = RESTATING[change][0]
    with pytest.raises(WorldRejected) as caught:
        march_after(tmp_path, *before, refused)
    assert RESTATING[change][1] in caught.value.message
    march_after(tmp_path, *before)


HARMLESS = {
    "names": instead(("Meridian", "Altair"), ("name: Maker", "name: Taker"), ("{id: taxed}", "{id: taxed, name: T}")),
    "a party": instead(("currency: USD}\npartners", "currency: USD, party: {country: US}}\npartners")),
    "a contract from then on": instead(
        ("contracts:\n", "contracts:\n  - {customer: least, effective_from: 2024-03-16, price_book: list}\n")
    ),
    "a later rate": instead(
        ("on: 2024-01-01}]", 'on: 2024-01-01}, {from: EUR, to: USD, rate: "1.2", on: 2024-04-01}]')
    ),
    "a contract that is over soon after a credit note": instead(
        ("zone: Asia/Kolkata", "zone: Asia/Kolkata\n    effective_to: 2024-04-03")
    ),
    "another share from then on": instead(
        ('"12.5"', '"12.5", to: 2024-04-01'),
        (
            "agreements:\n",
            'agreements:\n  - {partner: maker, kind: resale_share, direction: pay, percent: "13", from: 2024-04-01}\n',
        ),
    ),
    "seats that are over are gone": instead((f"subscriptions:\n{DESK}", "")),
    "seats of the product behind those that are over": instead(
        ("id: desk", "id: more, product: desk"),
        ('"30"', '"40"'),
        ("2024-03-01, to: 2024-04-01, months", "2024-04-01, months"),
    ),
    "a later price": instead(
        ("id: list\n    versions:\n", f"id: list\n    versions:\n      - effective_from: 2024-03-16\n{ONE}")
    ),
}


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_not_refused_leaves_a_closed_month_as_it_was(change: str, tmp_path: Path) -> None:
    assert march_after(tmp_path, HARMLESS[change]) == march_after(tmp_path)


def test_a_corrected_report_is_stated_when_its_month_is_settled_again(tmp_path: Path) -> None:
    corrected = march_after(tmp_path, instead(('"1000.025"', '"1100"')))
    of = ("maker/direct_sales_share@always",)
    assert (march_after(tmp_path).sums[of], corrected.sums[of]) == (Fraction("200.01"), Fraction(220))
