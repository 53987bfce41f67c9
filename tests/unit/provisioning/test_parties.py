"""What a world file may say of the operator and of customers for their invoices."""

import pytest

from entrepot.core.parties import Party
from entrepot.core.periods import parse_instant
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, changed, faults_of, small_world


def test_parties_are_read_with_their_names() -> None:
    seller = (
        "country: DE, iban: DE89 3704 0044 0532 0130 00, bic: COBADEFFXXX, payment_days: 30, tax_id: DE 123 456 789"
    )
    world = small_world(
        **{
            "currency: USD": f"currency: USD, party: {{{seller}}}",
            "market: US": "market: US, party: {legal_name: Acme Inc., country: US, city: Reno, email: a@acme.example}",
        }
    )
    assert world.operator.party == Party(
        name="Meridian Cloud",
        country="DE",
        tax_id="DE123456789",
        iban="DE89370400440532013000",
        bic="COBADEFFXXX",
        payment_days=30,
    )
    assert world.customers[0].party == Party(name="Acme Inc.", country="US", city="Reno", email="a@acme.example")
    assert small_world().operator.party is None


@pytest.mark.parametrize(
    ("party", "fault"),
    [
        ("{city: Bonn}", "country is missing"),
        ("{country: Germany}", "country 'Germany' must be two capital letters"),
        ("{country: DE, iban: DE89370400440532013001}", "is not an IBAN"),
        ("{country: DE, iban: 12}", "is not an IBAN"),
        ("{country: DE, bic: COBADEFFXXX}", "bic needs the iban"),
        ("{country: DE, iban: DE89370400440532013000, bic: cobadeff}", "bic 'cobadeff' must have 8 or 11"),
        ("{country: DE, email: nobody}", "email 'nobody' must be like"),
        ("{country: DE, payment_days: 400}", "payment_days must be at most 365"),
        ("{country: DE, vat: x}", "unknown key 'vat'"),
        ("nobody", "party must be keys with values"),
    ],
)
def test_a_fault_names_its_line(party: str, fault: str) -> None:
    (found,) = faults_of(changed("currency: USD}", f"currency: USD, party: {party}}}", SMALL))
    assert found.startswith("world.yaml:1: ")
    assert fault in found


def test_customers_are_not_paid() -> None:
    text = changed("market: US", "market: US, party: {country: US, iban: DE89370400440532013000}", SMALL)
    (found,) = faults_of(text)
    assert "unknown key 'iban'" in found


def test_a_customer_can_change_hands() -> None:
    dated = "parent: [{from: 2024-01-01, parent: one}, {from: 2024-03-01}, {from: 2024-06-01, parent: two}]"
    (acme,) = read_world([("world.yaml", changed("parent: acme-group", dated))]).customers
    months = ("2023-12-31", "2024-01-01", "2024-02-29", "2024-03-01", "2024-06-01")
    assert [acme.at(parse_instant(day)).parent for day in months] == ["", "one", "one", "", "two"]
    assert acme.parent == "two"
    (small,) = read_world([("world.yaml", SMALL)]).customers
    assert small.at(0) == small
    (fault,) = faults_of(changed("parent: acme-group", "parent: [{from: 2024-03-01}, {from: 2024-01-01}]"))
    assert "parent must be in the order of time" in fault
