"""Terms of a contract: every kind there is, and what is wrong with one, by line."""

import pytest

from entrepot.core.periods import parse_instant
from entrepot.core.terms import SHARE, Commitment, Discount, Minimum, Tax
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import changed, faults_of

CONTRACT = "    price_book: list\n"


def with_terms(*rows: str) -> str:
    """The small world with these terms on its one contract."""
    return changed(CONTRACT, CONTRACT + "    terms:\n" + "".join(f"      - {{{row}}}\n" for row in rows))


def test_terms_are_read_in_their_order() -> None:
    world = with_terms(
        "kind: tax, percent: '20', name: VAT, models: [gpt-4]",
        "kind: discount, percent: '12.5'",
        "kind: tax, name: VAT, reverse_charge: true",
        "kind: minimum, monthly: '1000'",
        "kind: commitment, amount: '120000', term: {from: 2024-01-01, to: 2025-01-01}, discount_percent: '20', "
        "overage: '1.10', payment: arrears",
        "kind: commitment, amount: '5', term: {from: 2025-01-01, to: 2025-02-01}",
    )
    new_year, next_year = parse_instant("2024-01-01"), parse_instant("2025-01-01")
    assert read_world([("world.yaml", world)]).contracts[0].terms == (
        Tax(SHARE // 5, "VAT", ("gpt-4",)),
        Discount(SHARE // 8),
        Tax(0, "VAT", reverse_charge=True),
        Minimum(1000 * 10**12),
        Commitment(120_000 * 10**12, new_year, next_year, SHARE // 5, 11 * 10**11, prepaid=False),
        Commitment(5 * 10**12, next_year, parse_instant("2025-02-01")),
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("kind: discount, percent: '101'", "term of kind discount: percent: '101' is not a percentage from 0 to 100"),
        ("kind: discount, percent: half", "term of kind discount: percent: 'half' is not a decimal number"),
        ("kind: discount, percent: '5', models: [gpt-5]", "term of kind discount: model 'gpt-5' is not declared"),
        ("kind: minimum, monthly: '-1'", "term of kind minimum: monthly cannot be negative"),
        ("kind: minimum, percent: '1'", "term of kind minimum has an unknown key 'percent'"),
        ("kind: tax, percent: '5', models: [gpt-5]", "term of kind tax: model 'gpt-5' is not declared"),
        ("kind: tax, percent: '19', reverse_charge: true", "term of kind tax: reverse_charge adds no tax"),
        ("kind: tax, reverse_charge: perhaps", "term of kind tax: reverse_charge must be true or false"),
        ("kind: commitment, amount: '5'", "term of kind commitment: term is missing"),
        (
            "kind: commitment, amount: '5', term: {from: 2024-01-02, to: 2025-01-01}",
            "term: from must be the beginning of a month",
        ),
        (
            "kind: commitment, amount: '5', term: {from: 2024-01-01, to: 2024-01-01}",
            "term: to must be later than from",
        ),
        (
            "kind: commitment, amount: '5', term: {from: 2024-01-01, to: 2025-01-01}, discount_percent: '100'",
            "term of kind commitment: discount_percent must be less than 100",
        ),
        (
            "kind: commitment, amount: '5', term: {from: 2024-01-01, to: 2025-01-01}, overage: dear",
            "term of kind commitment: overage: 'dear' is not a decimal number",
        ),
        (
            "kind: rebate",
            "term: kind 'rebate' is not one of lines, discount, minimum, tax, cap, credit, commitment",
        ),
    ],
)
def test_a_term_that_makes_no_sense_is_named(row: str, fault: str) -> None:
    told = faults_of(with_terms(row))
    assert any(text.startswith(f"world.yaml:26: {fault}") for text in told), told


def test_commitments_come_one_after_the_other() -> None:
    rows = [
        f"kind: commitment, amount: '5', term: {{from: 2024-0{month}-01, to: 2024-0{month + 3}-01}}" for month in (3, 1)
    ]
    assert faults_of(with_terms(*rows)) == [
        "world.yaml:25: contract of acme: the terms of its commitments overlap; one must end before the next begins"
    ]
