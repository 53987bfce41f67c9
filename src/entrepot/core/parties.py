"""Who somebody is in law, and how to pay them: what an invoice says of its seller and its buyer."""

import msgspec


class Party(msgspec.Struct, frozen=True, omit_defaults=True):
    """A party to an invoice, as printed. country: ISO 3166-1, two letters.

    registration: in a register of companies. iban, bic, payment_days: of sellers; 0 days where nothing is agreed.
    """

    name: str
    country: str
    street: str = ""
    postal_code: str = ""
    city: str = ""
    tax_id: str = ""
    registration: str = ""
    email: str = ""
    iban: str = ""
    bic: str = ""
    payment_days: int = 0
