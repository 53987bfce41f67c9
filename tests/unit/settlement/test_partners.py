"""What customers were invoiced while an agreement was in force, to the pico."""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from entrepot.core.agreements import Agreement
from entrepot.core.charges import Reading
from entrepot.core.invoices import Invoice
from entrepot.core.money import PICO
from entrepot.core.periods import DAY, END_OF_TIME, Period
from entrepot.settlement.partners import is_in_force, resale_base, state
from tests.support.billing import APRIL, MARCH, SERIES, invoice

PAPER = invoice("2024-03-000001")  # A dollar of m.


def base(begins: int, ends: int, *papers: Invoice, rate: int = PICO, weights: tuple[int, ...] = (1, 3)) -> Fraction:
    """In pico. weights: of readings on 10 March and each day behind."""
    agreement = Agreement("own/resale_share@x", "own", "resale_share", "pay", begins, ends, "USD")

    def weighed(number: str, line: int) -> Sequence[tuple[Reading, int]]:
        assert (number, line) == (PAPER.number, 1)
        return [
            (Reading(SERIES, "input_tokens", MARCH + (9 + day) * DAY, 1), weight) for day, weight in enumerate(weights)
        ]

    return resale_base(
        agreement, papers or (PAPER,), ["m"], lambda _: "UTC", lambda _, line: line.kind, lambda _: rate, weighed
    )


def test_a_month_in_force_counts_whole_and_in_the_agreements_currency() -> None:
    assert base(0, END_OF_TIME) == base(MARCH, APRIL) == PICO
    assert base(0, END_OF_TIME, rate=PICO * 2 // 3) == PICO * 2 // 3
    assert base(0, END_OF_TIME, PAPER, PAPER) == 2 * PICO
    assert base(0, MARCH) == base(APRIL, END_OF_TIME) == 0
    assert base(MARCH, APRIL, weights=(0,)) == PICO


def test_a_part_of_a_month_counts_by_what_its_readings_weigh() -> None:
    tenth = MARCH + 9 * DAY
    assert base(0, tenth + 1) == base(tenth, tenth + DAY) == Fraction(PICO, 4)
    assert base(tenth + 1, APRIL) == Fraction(PICO * 3, 4)
    assert base(tenth, tenth + 1, weights=(0, 0)) == Fraction(PICO, 2)  # By quantity, where none weighs anything.
    assert base(tenth, tenth + 1, weights=()) == 0
    note = msgspec.structs.replace(PAPER, number="2024-04-C00001", corrects=PAPER.number)
    assert base(tenth, tenth + 1, note) == Fraction(PICO, 4)


def test_other_models_and_what_is_not_shared_do_not_count() -> None:
    (line,) = PAPER.lines
    for changes in ({"model": "n"}, {"kind": "minimum"}):
        lines = (msgspec.structs.replace(line, **changes),)
        assert base(0, END_OF_TIME, msgspec.structs.replace(PAPER, lines=lines)) == 0


def test_an_agreement_concerns_the_months_that_it_is_in_force_in() -> None:
    agreement = Agreement("own/resale_share@x", "own", "resale_share", "pay", MARCH, APRIL, "USD")
    assert [is_in_force(agreement, Period(2024, month)) for month in (2, 3, 4)] == [False, True, False]


def test_an_item_says_its_rate_in_per_cent_or_the_price_of_a_unit() -> None:
    share = Agreement("s", "own", "resale_share", "pay", 0, END_OF_TIME, "USD", share=PICO // 8)
    rental = Agreement("r", "own", "capacity_rental", "receive", 0, END_OF_TIME, "USD", each_pico=2 * PICO + 5)
    of_share, of_rental = (
        state(agreement, Fraction(PICO * 5, 2), [], Period(2024, 3), "half_up") for agreement in (share, rental)
    )
    assert (of_share.base, of_share.rate, of_share.amount) == ("2.50", "12.5", "0.31")
    assert (of_rental.base, of_rental.rate, of_rental.amount) == ("2.5", "2.000000000005", "5.00")
