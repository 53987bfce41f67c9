"""What a world file says of the operator and of customers for their invoices."""

import re
from itertools import pairwise

from entrepot.core.parties import Party
from entrepot.core.tenancy import ParentFrom
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID

_BUYER = ("legal_name", "street", "postal_code", "city", "country", "tax_id", "registration", "email")
_SELLER = (*_BUYER, "iban", "bic", "payment_days")

_COUNTRY = re.compile(r"[A-Z]{2}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_BIC = re.compile(r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_PAYMENT_DAYS_MAX = 365


def read_buyer(of: Fields, name: str) -> Party | None:
    """The party of a customer, or None where it declares none."""
    fields = of.section("party", f"{of.what}: party", _BUYER)
    return None if fields is None else _read(fields, name)


def read_seller(of: Fields, name: str) -> Party | None:
    """The party of the operator, with how to pay it, or None where it declares none."""
    fields = of.section("party", f"{of.what}: party", _SELLER)
    return None if fields is None else _read(fields, name)


def read_parents(of: Fields, zone: str) -> tuple[ParentFrom, ...]:
    """Whose a customer is when, where `parent` is a list of {from, parent}; one without a parent is nobody's."""
    if not of.is_list("parent"):
        return ()
    rows = of.rows("parent", f"parent of {of.what}", ("from", "parent"), required=True)
    parents = tuple(ParentFrom(row.instant("from", zone), row.identifier("parent", ID, "")) for row in rows)
    if any(later.begins <= earlier.begins for earlier, later in pairwise(parents)):
        of.fault("parent must be in the order of time, each from later than the one before", "parent")
    return parents


def _read(fields: Fields, name: str) -> Party:
    party = Party(
        name=fields.text("legal_name", name),
        country=fields.text("country"),
        street=fields.text("street", ""),
        postal_code=fields.text("postal_code", ""),
        city=fields.text("city", ""),
        tax_id=fields.text("tax_id", "").replace(" ", ""),
        registration=fields.text("registration", ""),
        email=fields.text("email", ""),
        iban=fields.text("iban", "").replace(" ", ""),
        bic=fields.text("bic", ""),
        payment_days=fields.integer("payment_days", 0),
    )
    if party.country and not _COUNTRY.fullmatch(party.country):
        fields.fault(f"country {party.country!r} must be two capital letters such as DE (ISO 3166-1)", "country")
    if party.email and not _EMAIL.fullmatch(party.email):
        fields.fault(f"email {party.email!r} must be like billing@example.org", "email")
    if party.iban and not _is_iban(party.iban):
        fields.fault(f"iban {party.iban!r} is not an IBAN: its letters or check digits are wrong", "iban")
    if party.bic and not _BIC.fullmatch(party.bic):
        fields.fault(f"bic {party.bic!r} must have 8 or 11 letters and digits, such as COBADEFFXXX", "bic")
    if party.bic and not party.iban:
        fields.fault("bic needs the iban of the account", "bic")
    if party.payment_days > _PAYMENT_DAYS_MAX:
        fields.fault(f"payment_days must be at most {_PAYMENT_DAYS_MAX}", "payment_days")
    return party


def _is_iban(text: str) -> bool:
    """Whether the check digits are right. Source: ISO 13616, by ISO 7064 mod 97-10."""
    if not _IBAN.fullmatch(text):
        return False
    turned = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1
