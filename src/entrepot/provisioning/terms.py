"""What is sold at which price to whom: the price books and the contracts of a world file."""

from typing import Literal, get_args

import msgspec

from entrepot.core.periods import END_OF_TIME
from entrepot.core.prices import Price, PriceBookVersion, unit_price
from entrepot.core.tenancy import Contract
from entrepot.core.tokens import METERS, TIERS
from entrepot.provisioning.draft import Declared, Draft, PriceBook
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.scalars import ID, not_yet, read_currency, read_start, read_zone

LineGrain = Literal["meter", "model"]

_GRAINS: tuple[LineGrain, ...] = get_args(LineGrain)
_REFUSED_PRICING = {
    "tiers": not_yet("tiered prices"),
    "windows": not_yet("prices by time of day"),
}
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
    prices = []
    known = ("model", "meter", "tier", "per_million", "each")
    for row in fields.rows("prices", "price", known, _REFUSED_PRICING, required=True):
        prices.append(_price(row))
        draft.prices.append(Declared((identifier, prices[-1]), row))
    version = PriceBookVersion(identifier, book, starts, tuple(sorted(prices, key=msgspec.structs.astuple)), date)
    draft.versions.append(Declared(version, fields))


def _price(fields: Fields) -> Price:
    model = fields.text("model")
    meter = fields.choice("meter", sorted(METERS))
    tier = fields.choice("tier", TIERS, "default")
    fields.named(f"of {meter} of {model}" if model else "")
    if fields.has("per_million") == fields.has("each"):
        if not fields.refused:
            fields.fault("a price needs either per_million or each")
        return Price(model, meter, tier, 0)
    per = "per_million" if fields.has("per_million") else "each"
    text = fields.text(per)
    try:
        unit_pico = unit_price(text, "per_million" if per == "per_million" else "each") if text else 0
    except ValueError as error:
        fields.fault(str(error), per)
        unit_pico = 0
    return Price(model, meter, tier, unit_pico)


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
