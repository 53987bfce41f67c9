"""A document as it is printed: every text final, in the reader's language; only its looks are left open."""

import msgspec


class Fact(msgspec.Struct, frozen=True):
    """Something said by a label and a value."""

    label: str
    value: str


class Note(msgspec.Struct, frozen=True):
    """A sentence under the table, with the command that shows what it says, or "" where there is none."""

    label: str
    value: str
    command: str = ""


class PrintedParty(msgspec.Struct, frozen=True):
    """Who sends or receives a document. role: as a heading; lines: address and registrations."""

    role: str
    name: str
    lines: tuple[str, ...]


class PrintedLine(msgspec.Struct, frozen=True):
    """A row of the table. clause: the price-book clause behind it. link: where its requests are shown, or empty."""

    number: str
    what: str
    clause: str
    quantity: str
    price: str
    per: str
    exact: str
    amount: str
    link: str = ""


class PrintedGroup(msgspec.Struct, frozen=True):
    """Rows of the table under one heading."""

    heading: str
    lines: tuple[PrintedLine, ...]


class PrintedInvoice(msgspec.Struct, frozen=True):
    """An invoice. language: as in BCP 47. columns: headings of number, item, quantity, price, exact and amount.

    day: of issue, as yyyy-mm-dd. sums: ending with the total. page: with {page} and {pages}.
    """

    language: str
    day: str
    title: str
    number: str
    seller: PrintedParty
    buyer: PrintedParty
    facts: tuple[Fact, ...]
    columns: tuple[str, str, str, str, str, str]
    groups: tuple[PrintedGroup, ...]
    sums: tuple[Fact, ...]
    payment: tuple[Fact, ...]
    payment_heading: str
    notes: tuple[Note, ...]
    page: str
