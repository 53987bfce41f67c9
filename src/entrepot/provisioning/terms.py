"""What is sold at which price to whom: the price books and the contracts of a world file."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal, get_args

import msgspec

from entrepot.core.periods import END_OF_TIME, MINUTE, Instant, period_of
from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Price, PriceBookVersion
from entrepot.core.provisioned import GEOGRAPHIES
from entrepot.core.tenancy import Contract
from entrepot.core.terms import SHARE, Cap, Commitment, Credit, Discount, LockedRate, Minimum, Reservation, Tax, Term
from entrepot.provisioning.draft import Declared, Draft, PriceBook
from entrepot.provisioning.faults import suggestion
from entrepot.provisioning.fields import Fields
from entrepot.provisioning.price_rows import PRICE_KEYS, read_prices
from entrepot.provisioning.scalars import (
    ID,
    read_amount,
    read_currency,
    read_rate,
    read_share,
    read_start,
    read_zone,
)

LineGrain = Literal["meter", "model"]

_GRAINS: tuple[LineGrain, ...] = get_args(LineGrain)
_TERM_KEYS = (
    *("kind", "grain", "percent", "models", "monthly", "amount", "term", "discount_percent", "overage"),
    *("units", "each_hour", "from", "to", "geography", "name", "payment", "rate", "expires", "reverse_charge"),
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
        grain, terms = _terms(fields, draft, zone)
        contract = Contract(
            id=f"{customer}@{label}",
            customer=customer,
            effective_from=starts,
            effective_to=fields.instant("effective_to", zone, END_OF_TIME),
            price_book=fields.identifier("price_book", ID),
            currency=read_currency(fields) if fields.has("currency") else currency,
            zone=zone,
            line_grain=grain,
            terms=tuple(terms),
        )
        draft.contracts.append(Declared(contract, fields))


def _terms(fields: Fields, draft: Draft, zone: str) -> tuple[LineGrain, list[Term]]:
    """(the grain of lines, the other terms in their order)."""
    grain: LineGrain = "meter"
    terms: list[Term] = []
    for row in fields.rows("terms", "term", _TERM_KEYS):
        kind = row.text("kind")
        if kind == "lines":
            row.only(("kind", "grain"))
            grain = row.choice("grain", _GRAINS)
        elif kind in _READERS:
            row.named(f"of kind {kind}")
            terms.append(_numbered(_READERS[kind](row, zone), terms))
            draft.terms.append(Declared(terms[-1], row))
        elif kind:
            known = ("lines", *_READERS)
            row.fault(f"kind {kind!r} is not one of {', '.join(known)}{suggestion(kind, known)}", "kind")
    commitments = sorted((term for term in terms if isinstance(term, Commitment)), key=lambda term: term.begins)
    if any(later.begins < earlier.ends for earlier, later in pairwise(commitments)):
        fields.fault("the terms of its commitments overlap; one must end before the next begins", "terms")
    return grain, terms


def _numbered(term: Term, before: list[Term]) -> Term:
    """The term, a reservation or credit with the number that it has among those of its contract."""
    if not isinstance(term, Reservation | Credit):
        return term
    number = 1 + sum(type(other) is type(term) for other in before)
    return msgspec.structs.replace(term, id=f"{'credit' if isinstance(term, Credit) else 'reservation'}-{number}")


def _discount(fields: Fields, zone: str) -> Discount:
    del zone
    fields.only(("kind", "percent", "models"))
    return Discount(read_share(fields, "percent"), _models(fields))


def _minimum(fields: Fields, zone: str) -> Minimum:
    del zone
    fields.only(("kind", "monthly"))
    return Minimum(read_amount(fields, "monthly"))


def _cap(fields: Fields, zone: str) -> Cap:
    del zone
    fields.only(("kind", "monthly"))
    return Cap(read_amount(fields, "monthly"))


def _credit(fields: Fields, zone: str) -> Credit:
    fields.only(("kind", "amount", "from", "expires", "payment"))
    begins, ends = fields.instant("from", zone), fields.instant("expires", zone)
    for key, at in (("from", begins), ("expires", ends)):
        if at and at != period_of(at, zone).start(zone):
            fields.fault(f"{key} must be the beginning of a month, for credit pays whole months", key)
    if begins and ends and ends <= begins:
        fields.fault("expires must be later than from", "expires")
    granted = fields.choice("payment", ("prepaid", "granted"), "prepaid") == "granted"
    return Credit("", read_amount(fields, "amount"), begins, max(ends, begins + 1), granted)


def _tax(fields: Fields, zone: str) -> Tax:
    del zone
    fields.only(("kind", "percent", "name", "models", "reverse_charge"))
    is_reverse = fields.truth("reverse_charge")
    share = 0 if is_reverse and not fields.has("percent") else read_share(fields, "percent")
    if is_reverse and share:
        fields.fault("reverse_charge adds no tax, since the customer owes it; leave percent out", "percent")
    return Tax(share, fields.text("name", "tax"), _models(fields), is_reverse)


def _locked_rate(fields: Fields, zone: str) -> LockedRate:
    del zone
    fields.only(("kind", "rate"))
    return LockedRate(read_rate(fields))


def _commitment(fields: Fields, zone: str) -> Commitment:
    fields.only(("kind", "amount", "term", "discount_percent", "overage", "payment"))
    begins, ends = _months(fields, zone)
    share = read_share(fields, "discount_percent") if fields.has("discount_percent") else 0
    if share == SHARE:
        fields.fault("discount_percent must be less than 100", "discount_percent")
        share = 0
    overage = fields.text("overage", "list")
    return Commitment(
        amount_pico=read_amount(fields, "amount"),
        begins=begins,
        ends=ends,
        share=share,
        overage_share=None if overage == "list" else read_amount(fields, "overage"),
        prepaid=fields.choice("payment", ("prepaid", "arrears"), "prepaid") == "prepaid",
    )


def _reservation(fields: Fields, zone: str) -> Reservation:
    fields.only(("kind", "units", "each_hour", "from", "to", "models", "geography"))
    begins, ends = fields.instant("from", zone), fields.instant("to", zone, END_OF_TIME)
    for key, at in (("from", begins), ("to", ends)):
        if at % MINUTE and at != END_OF_TIME:
            fields.fault(f"{key} must be a whole minute, for units are counted by the minute", key)
    if fields.has("to") and begins and ends <= begins:
        fields.fault("to must be later than from", "to")
    return Reservation(
        id="",
        units=fields.integer("units", minimum=1),
        each_hour_pico=read_amount(fields, "each_hour"),
        begins=begins,
        ends=ends,
        models=_models(fields),
        geography=fields.choice("geography", GEOGRAPHIES) if fields.has("geography") else None,
    )


_READERS: dict[str, Callable[[Fields, str], Term]] = {
    "discount": _discount,
    "minimum": _minimum,
    "tax": _tax,
    "cap": _cap,
    "credit": _credit,
    "commitment": _commitment,
    "reservation": _reservation,
    "exchange": _locked_rate,
}


def _months(fields: Fields, zone: str) -> tuple[Instant, Instant]:
    """The whole months of the zone that term says; nonsense after a fault."""
    term = fields.section("term", "term", ("from", "to"))
    if term is None:
        if not fields.has("term"):
            fields.fault("term is missing; it says from when to when, as {from: 2024-01-01, to: 2025-01-01}")
        return 0, 1
    begins, ends = term.instant("from", zone), term.instant("to", zone)
    for key, at in (("from", begins), ("to", ends)):
        if at and at != period_of(at, zone).start(zone):
            term.fault(f"{key} must be the beginning of a month, for what is left is settled when a month is", key)
    if begins and ends and ends <= begins:
        term.fault("to must be later than from", "to")
    return begins, max(ends, begins + 1)


def _models(fields: Fields) -> tuple[str, ...]:
    return tuple(text for text, _ in fields.texts("models")) if fields.has("models") else ()
