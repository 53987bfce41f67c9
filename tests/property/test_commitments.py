"""Commitments against fractions: what a term comes to, however its charges are ordered, cut and repeated in parts."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from entrepot.core.charges import Charge
from entrepot.core.terms import SHARE, Commitment
from entrepot.rating.commitments import draw_down
from tests.support.billing import MARCH, SERIES

PERCENT = SHARE // 100
COMMITMENTS = st.builds(
    lambda amount, percent, overage: Commitment(amount, 0, 1, percent * PERCENT, overage),
    st.integers(0, 10**15),
    st.integers(0, 99),
    st.one_of(st.none(), st.integers(0, 3 * SHARE)),
)
CHARGES = st.lists(
    st.builds(
        lambda quantity, unit: Charge(SERIES, "input_tokens", MARCH, quantity, unit, quantity * unit, "input_tokens"),
        st.integers(-(10**4), 10**6),
        st.integers(0, 10**9),
    ),
    max_size=12,
)


@settings(max_examples=300)
@given(COMMITMENTS, CHARGES, st.data())
def test_a_term_comes_to_the_same_in_any_order_and_any_number_of_invoices(
    commitment: Commitment, charges: list[Charge], data: st.DataObject
) -> None:
    mixed = data.draw(st.permutations(charges))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(mixed)), max_size=3)))
    covered = overage = charged = quantity = 0
    for begins, ends in zip([0, *cuts], [*cuts, len(mixed)], strict=True):
        drawdown = draw_down(commitment, charged, mixed[begins:ends])
        charged = drawdown.charged_pico
        covered += sum(charge.amount_pico for charge in drawdown.covered)
        overage += sum(charge.amount_pico for charge in drawdown.overage)
        quantity += sum(charge.quantity for charge in (*drawdown.covered, *drawdown.overage))
    assert charged == sum(charge.amount_pico for charge in charges)
    assert quantity == sum(charge.quantity for charge in charges if charge.quantity)
    if charged >= 0:
        exact_covered, exact_overage = expected(commitment, charged)
        assert 0 <= exact_covered - covered < 1
        assert abs(exact_overage - overage) <= 4  # Of a pico: where the commitment ends is a whole number of them.


def expected(commitment: Commitment, charged: int) -> tuple[Fraction, Fraction]:
    """(drawn, overage) of a term, worked out in shares of one."""
    keeps = 1 - Fraction(commitment.share, SHARE)
    drawn = min(Fraction(commitment.amount_pico), charged * keeps)
    beyond = max(Fraction(0), charged - commitment.amount_pico / keeps)
    if commitment.overage_share is None:
        return drawn, beyond
    return drawn, beyond * keeps * Fraction(commitment.overage_share, SHARE)
