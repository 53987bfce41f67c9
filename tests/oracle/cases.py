"""What is rated: a customer's deals and usage, in plain values. Prices, amounts and shares are decimal text."""

from typing import Literal, NamedTuple

UNIT_HOURS = "provisioned_unit_hours"
Geography = Literal["global", "data_zone", "regional"]


class Row(NamedTuple):
    """A price: of a unit, or of `per` of them. of: the class of usage it is for ("" any; a window; "above_1000").

    steps: (last unit or None, price); mode says what they mean. size: of a package. hourly: of a unit hour, counted in
    minutes.
    """

    model: str
    meter: str
    tier: str
    price: str
    per: int = 1
    of: str = ""
    mode: Literal["flat", "graduated", "volume", "package", "hourly"] = "flat"
    steps: tuple[tuple[int | None, str], ...] = ()
    size: int = 0


class CountFrom(NamedTuple):
    """So many from an instant on. arrives: the world that says so is applied before the close of this number."""

    at: int
    number: int
    arrives: int = 0


class Units(NamedTuple):
    """A deployment's provisioned units; the last step ends them."""

    deployment: str
    model: str
    geography: Geography
    steps: tuple[CountFrom, ...]


class Reserved(NamedTuple):
    """A reservation of units, paid by the hour of [begins, ends). models, geography: none is any."""

    name: str
    number: int
    price: str
    begins: int
    ends: int
    models: tuple[str, ...] = ()
    geography: Geography | None = None
    arrives: int = 0


class Holder(NamedTuple):
    """That a seat is somebody's in [begins, ends)."""

    user: str
    begins: int
    ends: int
    arrives: int = 0


class Desk(NamedTuple):
    """Seats of a product by the month, in terms of so many months since the first; last is "" or a term's end."""

    product: str
    price: str
    first: str
    last: str
    months: int
    seats: tuple[CountFrom, ...]
    holders: tuple[Holder, ...]


class Hours(NamedTuple):
    """A window: [from, to) in minutes of the day, on days that begin it."""

    name: str
    zone: str
    days: tuple[int, ...]
    start: int
    end: int


class Edition(NamedTuple):
    """A price book version, in force from the beginning of a date of the deal's zone."""

    date: str
    rows: tuple[Row, ...]
    hours: tuple[Hours, ...] = ()


class Promise(NamedTuple):
    """A commitment: so much within [first, last) months."""

    amount: str
    first: str
    last: str
    percent: str = "0"
    overage: str = ""  # "" is at list.
    prepaid: bool = True


class Voucher(NamedTuple):
    """Credit for whole months, from the first up to the one in which it has expired."""

    name: str
    amount: str
    first: str
    expires: str
    granted: bool


class Levy(NamedTuple):
    """A tax."""

    name: str
    percent: str
    models: tuple[str, ...] = ()


class Deal(NamedTuple):
    """A contract, in force from the beginning of one date to that of another in its zone; "" is for ever.

    arrives: the world that has it is applied before the close of this number.
    """

    customer: str
    start: str
    end: str
    zone: str
    currency: str
    priced_in: str
    grain: Literal["meter", "model"]
    editions: tuple[Edition, ...]
    discounts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    minimum: str = ""
    levies: tuple[Levy, ...] = ()
    promise: Promise | None = None
    locked: str = ""
    cap: str = ""
    credits: tuple[Voucher, ...] = ()
    reserved: tuple[Reserved, ...] = ()
    arrives: int = 0

    @property
    def id(self) -> str:
        """What names it."""
        return f"{self.customer}@{self.start}"


class Use(NamedTuple):
    """Usage of one request. arrives: after so many closes."""

    id: str
    at: int
    model: str
    tier: str
    meters: dict[str, int]
    deployment: str = "chat"
    arrives: int = 0


class Case(NamedTuple):
    """A customer: its deals, one after the other, its usage, and what it pays for by the time."""

    customer: str
    deals: tuple[Deal, ...]
    uses: tuple[Use, ...]
    units: tuple[Units, ...] = ()
    desks: tuple[Desk, ...] = ()


class Round(NamedTuple):
    """Cases under one operator. closes: the months closed, in order. rates: (sold, bought, date, rate)."""

    rounding: Literal["half_up", "half_even"]
    rates: tuple[tuple[str, str, str, str], ...]
    closes: tuple[str, ...]
    cases: tuple[Case, ...]
