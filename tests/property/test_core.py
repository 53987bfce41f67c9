"""Laws of the core's arithmetic."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from entrepot.core.invoices import LineDraft, draw_lines
from entrepot.core.journal import GENESIS, Posting, chain, entry
from entrepot.core.money import PICO, format_pico, join_pico, minor_digits, parse_pico, round_to_minor, split_pico
from entrepot.core.periods import format_instant, parse_instant

amounts = st.integers(-(10**31), 10**31)  # Of a currency's major unit as many as its text may have digits.
currencies = st.sampled_from(["USD", "JPY", "KWD"])


@given(amounts)
def test_an_amount_survives_its_text_and_its_columns(pico: int) -> None:
    assert parse_pico(format_pico(pico)) == pico
    wide, micro, remainder = split_pico(pico)
    assert join_pico(wide, micro, remainder) == pico
    assert abs(micro) < 2**63
    assert 0 <= remainder < 10**6
    assert wide == 0 or abs(pico) >= 2**63 * 10**6


@given(st.lists(amounts, min_size=1))
def test_stored_columns_may_be_summed_apart(parts: list[int]) -> None:
    columns = [split_pico(part) for part in parts]
    assert join_pico(*map(sum, zip(*columns, strict=True))) == sum(parts)


@given(amounts, currencies)
def test_rounding_moves_by_half_a_unit_at_most_and_only_once(pico: int, currency: str) -> None:
    unit = Fraction(PICO, 10 ** minor_digits(currency))
    for mode in ("half_up", "half_even"):
        rounded = round_to_minor(pico, currency, mode)
        assert abs(rounded - pico) <= unit / 2
        assert rounded % unit == 0
        assert round_to_minor(rounded, currency, mode) == rounded
        assert round_to_minor(-pico, currency, mode) == -rounded


@given(st.lists(amounts, max_size=30), currencies)
def test_rounded_lines_and_residual_give_back_the_exact_sum(exacts: list[int], currency: str) -> None:
    drafts = [
        LineDraft("2024-03", f"model-{n}", "input_tokens", "default", n, exact, None) for n, exact in enumerate(exacts)
    ]
    lines, totals = draw_lines(drafts, currency, "half_up")
    assert sum(parse_pico(line.amount) for line in lines) == totals.net_pico
    assert totals.net_pico + totals.residual_pico == sum(exacts)
    assert [line.number for line in lines] == list(range(1, len(exacts) + 1))


@given(st.lists(st.tuples(st.text(min_size=1, max_size=8), amounts), max_size=6))
def test_the_chain_depends_on_every_amount(legs: list[tuple[str, int]]) -> None:
    postings = [Posting(account, "USD", amount) for account, amount in legs]
    balancing = Posting("balance", "USD", -sum(amount for _, amount in legs))
    item = entry("k", "test", 0, [*postings, balancing])
    other = entry("k", "test", 0, [*postings, balancing, Posting("a", "USD", 1), Posting("b", "USD", -1)])
    assert chain(GENESIS, item) == chain(GENESIS, item)
    assert chain(GENESIS, item) != chain(GENESIS, other)
    assert chain(chain(GENESIS, item), item) != chain(GENESIS, item)


@given(st.integers(0, 4_000_000_000_000_000))
def test_an_instant_survives_its_text(at: int) -> None:
    assert parse_instant(format_instant(at)) == at
