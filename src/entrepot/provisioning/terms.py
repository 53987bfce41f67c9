"""What is sold at which price to whom: the price books and the contracts of a world file."""

from typing import Literal, get_args

from entrepot.core.periods import END_OF_TIME
from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Price, PriceBookVersion
from entrepot.core.tenancy import Contract
from entrepot.provisioning.draft import Declared, Draft, PriceBook
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.price_rows import PRICE_KEYS, read_prices
from entrepot.provisioning.scalars import ID, not_yet, read_currency, read_start, read_zone

LineGrain = Literal["meter", "model"]

_GRAINS: tuple[LineGrain, ...] = get_args(LineGrain)
_REFUSED_TERMS = {
    kind: not_yet(f"contract terms of kind {kind}")
    for kind in ("discount", "minimum", "commitment", "reservation", "tax")
}
# Keys of the terms we refuse are known, so that such a term is one fault and not one for each of its keys.
_TERM_KEYS = (
    *("kind", "grain", "percent", "models", "monthly", "amount", "term", "discount_percent", "overage"),
    *("units", "each_hour", "from", "to"),
)


def read_price_books(root: Fields, draft: Draft) -> None:
    """Adds price books, their versions and prices to the draft."""
    for fields in root.rows("price_books", "price book", ("id", "versions", "currency")):
        book = PriceBook(fields.identifier("id", ID), read_currency(fields) if fields.has("currency") else "")
        draft.books.append(Declared(book, fields))
        known = ("effective_from", "prices")
        for version in fields.rows("versions", f"version of price book {book.id}", known, required=True):
            _read_version(version, book.id, draft)


def _read_version(fields: Fields, book: str, draft: Draft) -> None:
    starts, date, label = read_start(fields, "UTC")
    identifier = f"{book}@{label}"
    prices: list[Price] = []
    windows: dict[str, PriceWindow] = {}
    for row in fields.rows("prices", "price", PRICE_KEYS, required=True):
        read = read_prices(row, windows)
        prices += read
        draft.prices.extend(Declared((identifier, price), row) for price in read)
    ordered = tuple(sorted(prices, key=lambda price: price.key))
    version = PriceBookVersion(identifier, book, starts, ordered, date, tuple(windows.values()))
    draft.versions.append(Declared(version, fields))


def read_contracts(root: Fields, draft: Draft, currency: str) -> None:
    """Adds the contracts to the draft. currency: for contracts that name none. Open ends are END_OF_TIME so far."""
    known = ("customer", "effective_from", "effective_to", "price_book", "currency", "zone", "terms")
    for fields in root.rows("contracts", "contract", known):
        customer = fields.identifier("customer", ID)
        fields.named(f"of {customer}" if customer else "")
        zone = read_zone(fields)
        starts, _, label = read_start(fields, zone)
        contract = Contract(
            id=f"{customer}@{label}",
            customer=customer,
            effective_from=starts,
            effective_to=fields.instant("effective_to", zone, END_OF_TIME),
            price_book=fields.identifier("price_book", ID),
            currency=read_currency(fields) if fields.has("currency") else currency,
            zone=zone,
            line_grain=_line_grain(fields),
        )
        draft.contracts.append(Declared(contract, fields))


def _line_grain(fields: Fields) -> LineGrain:
    grain: LineGrain = "meter"
    for term in fields.rows("terms", "term", _TERM_KEYS):
        kind = term.text("kind")
        if kind in _REFUSED_TERMS:
            term.fault(_REFUSED_TERMS[kind], "kind")
        elif kind == "lines":
            term.only(("kind", "grain"))
            grain = term.choice("grain", _GRAINS)
        elif kind:
            known = ("lines", *_REFUSED_TERMS)
            term.fault(f"kind {kind!r} is not one of {', '.join(known)}{suggestion(kind, known)}", "kind")
    return grain
