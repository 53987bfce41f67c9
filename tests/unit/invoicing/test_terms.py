"""What terms add to an invoice, term by term."""

import msgspec

from entrepot.core.charges import Charge
from entrepot.core.invoices import Conversion, InvoiceLine, LineDraft, LineKind
from entrepot.core.money import PICO, format_pico
from entrepot.core.periods import END_OF_TIME, Period, parse_instant
from entrepot.core.subscriptions import SeatsFrom, Subscription
from entrepot.core.terms import Cap, Commitment, Minimum, Reservation
from entrepot.core.tokens import COVERED_MINUTES, RESERVED_MINUTES
from entrepot.invoicing.exchange import converted, missing_rate
from entrepot.invoicing.reservations import reservation_lines
from entrepot.invoicing.subscriptions import subscription_lines
from entrepot.invoicing.terms import cap_lines, commitment_lines, minimum_lines
from tests.support.billing import APRIL, SERIES, contract

FEBRUARY, MARCH, MAY = Period(2024, 2), Period(2024, 3), Period(2024, 5)
COMMITMENT = Commitment(100 * PICO, MARCH.start("UTC"), MAY.start("UTC"))


def line(kind: LineKind, month: Period, amount: int) -> InvoiceLine:
    exact = format_pico(amount * PICO)
    return InvoiceLine(1, kind, str(month), "", "", "", "0", None, exact, f"{exact}.00")


def committed(period: Period, *earlier: InvoiceLine, **used: int) -> list[tuple[str, str, int]]:
    """used: by the name of its month."""
    months = {"february": FEBRUARY, "march": MARCH, "april": MARCH.next()}
    usage = [LineDraft(str(months[name]), "m", "", "", 1, amount * PICO, None) for name, amount in used.items()]
    drafts = commitment_lines(contract("acme"), period, COMMITMENT, usage, 0, earlier)
    return [(item.kind, item.period, item.exact_pico // PICO) for item in drafts]


def test_a_commitment_is_bought_once_from_its_first_month_on_however_late_it_is_agreed() -> None:
    bought = [("purchase", "2024-03", 100)]
    assert committed(FEBRUARY) == []
    assert committed(MARCH, march=7) == [("commitment", "2024-03", -7), *bought]
    assert committed(MAY, line("usage", MARCH, 7), line("purchase", FEBRUARY, 50)) == bought
    assert committed(MAY, line("purchase", MARCH, 100)) == []


def test_what_is_drawn_is_of_the_month_it_was_used_in() -> None:
    """Usage of February, before the commitment begins, draws nothing."""
    drawn = committed(MAY.next(), line("purchase", MARCH, 100), april=2, march=7, february=3)
    assert drawn == [("commitment", "2024-03", -7), ("commitment", "2024-04", -2)]


def test_what_is_missing_of_one_that_is_not_prepaid_is_of_its_last_month() -> None:
    term = Commitment(100 * PICO, MARCH.start("UTC"), MAY.start("UTC"), prepaid=False)
    (short,) = commitment_lines(contract("acme"), MAY, term, [], 40 * PICO, [])
    assert (short.kind, short.period, short.exact_pico) == ("shortfall", "2024-04", 40 * PICO)


def test_of_several_caps_the_lowest_holds() -> None:
    agreed = contract("acme", terms=(Cap(5 * PICO), Cap(3 * PICO)))
    (capped,) = cap_lines(agreed, MARCH, [line("usage", MARCH, 10)], [], "half_up")
    assert (capped.period, capped.exact_pico) == ("2024-03", -7 * PICO)


def test_a_cap_counts_what_a_commitment_has_paid() -> None:
    """Of 10 used 8 are paid already; a cap of 3 leaves the other 2 alone."""
    agreed = contract("acme", terms=(Cap(3 * PICO),))
    assert cap_lines(agreed, MARCH, [line("usage", MARCH, 10), line("commitment", MARCH, -8)], [], "half_up") == []


def test_a_month_that_was_closed_before_its_contract_owes_its_minimum_once_and_the_first_by_its_days() -> None:
    agreed = contract("acme", terms=(Minimum(29 * PICO),), effective_from=parse_instant("2024-02-20"))
    closed = [Period(2024, 1), FEBRUARY, MARCH, MAY]
    found = minimum_lines(agreed, MARCH.next(), closed, [], [line("usage", MARCH, 7)], "half_up")
    assert [(item.period, item.exact_pico // PICO) for item in found] == [("2024-02", 10), ("2024-04", 29)]


def test_a_month_of_seats_is_the_contracts_that_is_in_force_at_its_beginning() -> None:
    begins = parse_instant("2024-01-01")
    desk = Subscription("desk", "acme", "desk", PICO, begins, END_OF_TIME, 12, 1, (SeatsFrom(begins, 3),))
    new = contract("acme", effective_from=parse_instant("2024-03-15"))
    assert subscription_lines(new, MARCH, [desk], []) == []
    assert [item.period for item in subscription_lines(new, MAY, [desk], [])] == ["2024-04", "2024-05"]
    free = msgspec.structs.replace(desk, each_pico=0)
    (item,) = subscription_lines(contract("acme"), Period(2024, 1), [free], [])
    assert (item.meter, item.tier, item.quantity, item.parts, item.exact_pico) == (
        "seats",
        "default",
        3 * PICO,
        PICO,
        0,
    )
    old = contract("acme", effective_to=APRIL)
    assert [item.period for item in subscription_lines(old, MAY, [desk], [])] == ["2024-01", "2024-02", "2024-03"]


def test_what_of_a_reservation_was_used_and_what_was_not_sum_to_it_in_any_currency() -> None:
    reserved = contract("acme", terms=(Reservation("r", 1, 60, MARCH.start("UTC"), APRIL, ("m",)),))
    of = msgspec.structs.replace(SERIES, price_class="r")
    hour = MARCH.start("UTC")
    charges = [
        Charge(of, RESERVED_MINUTES, hour, 3, 60, 3, RESERVED_MINUTES, "r"),
        Charge(of, COVERED_MINUTES, hour, 1, 0, 0, COVERED_MINUTES, "r"),
    ]
    (made,) = reservation_lines(charges, reserved)
    (turned,) = converted([made.line], [Conversion("2024-03", "USD", "1.5")])
    told = [[(share.name, share.exact) for share in item.shares] for item in (made.line, turned)]
    assert told == [
        [("used", "0.000000000001"), ("unused", "0.000000000002")],
        [("used", "0.000000000002"), ("unused", "0.000000000003")],
    ]
    assert (made.line.tier, made.line.exact_pico, turned.exact_pico) == ("default", 3, 5)


def test_a_contract_needs_a_rate_only_into_another_currency() -> None:
    euro = contract("acme", currency="EUR", price_currency="USD")
    assert missing_rate([], euro, MARCH) == (
        "contract acme@2024-01-01 is invoiced in EUR and no exchange rate from USD is in force at the end of 2024-03; "
        "declare one under exchange_rates"
    )
    assert missing_rate([], contract("acme"), MARCH) == ""
