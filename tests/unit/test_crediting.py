"""Credit notes in the fold: tax comes back to the cent, nothing twice, and partners give back their share."""

import msgspec
import pytest

from entrepot.core.agreements import Agreement
from entrepot.core.errors import BadInput
from entrepot.core.log_records import InvoiceCredited, LogRecord, MonthClosed, MonthSettled
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, parse_instant
from entrepot.core.subscriptions import SeatsFrom, Subscription
from entrepot.core.terms import SHARE, Cap, Tax
from entrepot.core.world import WorldIndex, index_of
from entrepot.flows.compare_books import check
from entrepot.flows.credit_invoice import draw_up_credit
from entrepot.ports.books import Books
from tests.support.billing import APRIL, MARCH, applied, contract, folded, prices, recorded, usage, version, world

METERS = ("audio_input_tokens", "audio_output_tokens", "input_tokens", "output_tokens")
AMOUNTS = ("68.33", "68.33", "57.50", "85.00")
MAY = parse_instant("2024-05-01")
INVOICE = "2024-03-000001"
RESALE = Agreement("own/resale_share@always", "own", "resale_share", "pay", 0, END_OF_TIME, "USD", share=SHARE // 5)


def march() -> list[LogRecord]:
    """Usage of four lines with 20 % tax, a fifth of which goes to the model's owner; the month is closed."""
    priced = version(prices(*(("m", meter, amount) for meter, amount in zip(METERS, AMOUNTS, strict=True))))
    made = world(priced, contracts=[contract("acme", terms=(Tax(SHARE // 5, "VAT"),))])
    made = msgspec.structs.replace(made, agreements=(RESALE,))
    (event,) = recorded(usage("a", "2024-03-10", meters=dict.fromkeys(METERS, 10**6)))
    return [applied(made), event, MonthClosed(at=APRIL + DAY, period="2024-03")]


def credited(*lines: tuple[int, str], invoice: str = INVOICE) -> InvoiceCredited:
    return InvoiceCredited(at=APRIL + 2 * DAY, invoice=invoice, lines=lines, reason="outage")


def notes(books: Books) -> list[tuple[str, str, str]]:
    """(number, tax, total) of the credit notes of books that hold together."""
    assert list(check(books)) == []
    return [(note.number, note.tax, note.total) for note in books.invoices() if note.corrects]


def test_crediting_line_by_line_gives_back_exactly_the_invoice() -> None:
    books = folded(*march(), *(credited((line, "")) for line in (1, 2, 3, 4)))
    invoice = books.invoice(INVOICE)
    assert ([line.amount for line in invoice.lines], invoice.net, invoice.total) == (list(AMOUNTS), "279.16", "334.99")
    assert notes(books) == [
        ("2024-04-C00001", "-13.67", "-82.00"),
        ("2024-04-C00002", "-13.66", "-81.99"),
        ("2024-04-C00003", "-11.50", "-69.00"),
        ("2024-04-C00004", "-17.00", "-102.00"),
    ]
    given = [note for note in books.invoices() if note.corrects]
    assert [(note.net, note.taxes[0].net, note.residual, note.lines[0].quantity) for note in given] == [
        (f"-{amount}", f"-{amount}", "0", "0") for amount in AMOUNTS
    ]
    balances = books.balances()
    assert ("assets:receivable:invoiced:acme", "USD") not in balances
    assert ("liabilities:tax:VAT", "USD") not in balances


def test_what_the_customer_owes_the_tax_of_is_given_back_as_that() -> None:
    priced = version(prices(("m", "input_tokens", "1000000")))
    made = world(priced, contracts=[contract("acme", terms=(Tax(0, "VAT", reverse_charge=True),))])
    used = recorded(usage("a", meters={"input_tokens": 30}))
    books = folded(applied(made), *used, MonthClosed(at=APRIL + DAY, period="2024-03"), credited((1, "10")))
    invoice, note = books.invoices()
    assert (invoice.total, note.total) == ("30.00", "-10.00")
    assert [(tax.net, tax.amount, tax.reverse_charge) for tax in (*invoice.taxes, *note.taxes)] == [
        ("30.00", "0.00", True),
        ("-10.00", "0.00", True),
    ]


def test_taxes_of_one_name_are_given_back_each_for_itself() -> None:
    """20 % on one model and 10 % on another, which nobody gave names: three notes give back both."""
    taxes = (Tax(SHARE // 5, "tax", ("m",)), Tax(SHARE // 10, "tax", ("other",)))
    priced = version(prices(("m", "input_tokens", "100"), ("other", "input_tokens", "100")))
    made = world(priced, contracts=[contract("acme", terms=taxes)])
    used = recorded(
        *(usage(model, "2024-03-10", model=model, meters={"input_tokens": 10**6}) for model in ("m", "other"))
    )
    given = (credited((1, "50")), credited((2, "")), credited((1, "")))
    books = folded(applied(made), *used, MonthClosed(at=APRIL + DAY, period="2024-03"), *given)
    assert books.invoice(INVOICE).tax == "30.00"
    assert [tax for _, tax, _ in notes(books)] == ["-10.00", "-10.00", "-10.00"]
    assert ("liabilities:tax:tax", "USD") not in books.balances()


def test_nothing_is_given_back_twice_or_of_a_line_that_is_not_there() -> None:
    once = [*march(), credited((1, "60.00"))]
    assert notes(folded(*once, credited((1, "8.34")), credited((1, "0")), credited((9, "")))) == [
        ("2024-04-C00001", "-12.00", "-72.00")
    ]
    books = folded(*once)
    for lines, fault in (
        (((1, "8.34"),), "8.33 is left"),
        (((1, "0.001"),), "8.33 is left"),
        (((9, ""),), "has lines 1 to 4, not 9"),
        ((), "name each line"),
        (((2, "1"), (2, "1")), "name each line"),
        (((2, "much"),), "is not a decimal number"),
    ):
        with pytest.raises(BadInput, match=fault):
            draw_up_credit(books, index_of(books.worlds()), credited(*lines))
    with pytest.raises(BadInput, match="is a credit note"):
        draw_up_credit(books, index_of(books.worlds()), credited((1, ""), invoice="2024-04-C00001"))


def test_no_more_is_given_back_than_was_charged_whatever_a_line_says() -> None:
    """100 of usage under a cap of 40: of the line of 100 there are 40 to give back, and of those no more than once."""
    priced = version(prices(("m", "input_tokens", "100")))
    made = world(priced, contracts=[contract("acme", terms=(Cap(40 * PICO), Tax(SHARE // 5, "VAT")))])
    used = recorded(usage("a", "2024-03-10", meters={"input_tokens": 10**6}))
    once = [applied(made), *used, MonthClosed(at=APRIL + DAY, period="2024-03"), credited((1, "")), credited((1, "30"))]
    books = folded(*once)
    assert notes(books) == [("2024-04-C00001", "-6.00", "-36.00")]
    with pytest.raises(BadInput, match=r"of invoice 2024-03-000001 10[.]00 is left, before tax"):
        draw_up_credit(books, index_of(books.worlds()), credited((1, "10.01")))
    assert draw_up_credit(books, index_of(books.worlds()), credited((1, "10"))).total == "-12.00"


def test_a_credit_note_takes_back_the_partners_share_and_makes_no_supplement() -> None:
    books = folded(
        *march(),
        MonthSettled(at=APRIL + DAY, period="2024-03"),
        credited((4, "50.00")),
        *recorded(usage("b", "2024-04-10", meters={"input_tokens": 10**6})),
        MonthClosed(at=MAY + DAY, period="2024-04"),
        MonthSettled(at=MAY + DAY, period="2024-04"),
    )
    assert [(made.number, made.documents[0].base, made.documents[0].amount) for made in books.statements()] == [
        ("2024-03-own-1", "279.16", "55.83"),
        ("2024-04-own-1", "7.50", "1.50"),
    ]
    (april,) = [made for made in books.invoices("2024-04") if not made.corrects]
    assert (april.number, april.lines[0].kind) == ("2024-04-000001", "usage")


def test_what_was_never_shared_is_not_taken_back() -> None:
    """Seats of a product that is called as a model is: nothing of them went to the model's owner."""
    seats = Subscription("s", "acme", "m", PICO, MARCH, APRIL, 1, 1, (SeatsFrom(MARCH, 10),))
    made = world(version(prices(("m", "input_tokens", "10"))))
    books = folded(
        applied(msgspec.structs.replace(made, agreements=(RESALE,), subscriptions=(seats,))),
        MonthClosed(at=APRIL + DAY, period="2024-03"),
        credited((1, "")),
        MonthClosed(at=MAY + DAY, period="2024-04"),
        *(MonthSettled(at=MAY + DAY, period=month) for month in ("2024-03", "2024-04")),
    )
    assert [(paper.total, paper.lines[0].model) for paper in books.invoices()] == [("10.00", "m"), ("-10.00", "m")]
    assert books.statements() == []


def test_the_tax_given_back_is_the_one_on_the_invoice() -> None:
    """Two taxes by model on one invoice; the contract's terms are not asked again."""
    rows = prices(("m", "input_tokens", "10"), ("n", "input_tokens", "10"))
    terms = (Tax(SHARE // 5, "VAT", ("m",)), Tax(SHARE // 10, "levy"))
    made = world(version(rows), contracts=[contract("acme", terms=terms)])
    used = recorded(*(usage(model, "2024-03-10", model=model, meters={"input_tokens": 10**6}) for model in "mn"))
    books = folded(applied(made), *used, MonthClosed(at=APRIL + DAY, period="2024-03"))
    known = index_of(books.worlds())
    assert known is not None
    without = WorldIndex(msgspec.structs.replace(known.world, contracts=(contract("acme"),)))
    note = draw_up_credit(books, without, credited((1, ""), (2, "5")))
    assert [(tax.name, tax.net, tax.amount, tax.lines) for tax in note.taxes] == [
        ("VAT", "-10.00", "-2.00", (1,)),
        ("levy", "-5.00", "-0.50", (2,)),
    ]
