"""Cases from chance: every form of price, every term, every zone, near every edge. Fast enough for a million."""

from random import Random

from tests.oracle import calendar
from tests.oracle.cases import UNIT_HOURS, Case, Deal, Edition, Hours, Levy, Promise, Round, Row, Units, Use, Voucher
from tests.oracle.generated_standing import desk_of, reserved_of, unit_rows, units_of

CASES = 200  # Of a round; they share one operator and one set of books.
ZONES = (*calendar.ZONES,)
_STARTS = ("2024-01", "2024-03", "2024-10", "2025-02", "2025-03", "2025-10", "2025-12")
_PAIRS = (("USD", "EUR"), ("USD", "JPY"), ("USD", "KWD"), ("EUR", "USD"))
_PERCENTS = ("5", "12.5", "20", "33.333333", "99.99", "0.000001")
_METERS = (
    ("input_tokens", "output_tokens"),
    ("input_tokens", "cached_input_tokens", "output_tokens"),
    ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    ("images",),
)
_HOURS = (
    Hours("peak", "Europe/Berlin", (0, 1, 2, 3, 4), 8 * 60, 20 * 60),
    Hours("night", "America/New_York", (0, 1, 2, 3, 4, 5, 6), 22 * 60, 6 * 60),
    Hours("sundays", "Australia/Lord_Howe", (6,), 0, 24 * 60),
    Hours("tea", "Asia/Kathmandu", (0, 2, 4), 15 * 60 + 45, 16 * 60),
)


def round_of(seed: int, cases: int = CASES) -> Round:
    """The round of a seed: the same for ever."""
    chance = Random(seed)
    first = chance.choice(_STARTS)
    months = [first]
    if chance.random() < 0.6:
        months.append(calendar.following(first))
    closes = [month for month in months for _ in range(1 + (chance.random() < 0.15))]
    if chance.random() < 0.15:
        closes.append(calendar.following(months[-1]))
    rates = tuple(
        (sold, bought, f"{month}-{day:02d}", _amount(chance, 2, 6))
        for sold, bought in _PAIRS
        for month, day in (("2023-10", 1), *((month, chance.randint(1, 28)) for month in months))
    )
    tellings = len(closes) if chance.random() < 0.3 else 1  # In the others nothing but usage comes late.
    made = (_case(chance, f"c{number:04d}", closes, tellings) for number in range(cases))
    return Round(chance.choice(("half_up", "half_up", "half_even")), rates, tuple(closes), tuple(made))


def _case(chance: Random, customer: str, closes: list[str], tellings: int) -> Case:
    """A customer. tellings: before how many of the closes its world may say more."""
    zone = chance.choice(ZONES)
    start = f"{closes[0]}-01"
    if chance.random() < 0.25:
        start = f"{closes[0]}-{chance.randint(2, 28):02d}"
    elif chance.random() < 0.5:
        start = "2023-11-15"
    end = f"{closes[-1]}-{chance.randint(2, 28):02d}" if chance.random() < 0.2 else ""
    if end and end <= start:
        end = ""
    has_units = chance.random() < 0.03
    deals = [_deal(chance, customer, start, end, zone, closes, has_units)]
    if end and chance.random() < 0.6:  # Another one from the day on which this one ends.
        deals.append(_deal(chance, customer, end, "", zone, closes, has_units))
    units: tuple[Units, ...] = ()
    if has_units:
        near = _instant(chance, calendar.begins(closes[0], zone), _end_of(closes, zone), deals)
        units = units_of(chance, deals, near, tellings)
        deals = [deal._replace(reserved=reserved_of(chance, near, tellings)) for deal in deals]
    elif chance.random() < 0.15:  # Units would have to wait for their contract, and with them the close.
        deals[0] = deals[0]._replace(arrives=chance.randrange(tellings))
    desks = (desk_of(chance, zone, closes, tellings),) if chance.random() < 0.03 else ()
    return Case(customer, tuple(deals), tuple(_uses(chance, customer, deals, units, closes)), units, desks)


def _end_of(closes: list[str], zone: str) -> int:
    return calendar.begins(calendar.following(closes[-1]), zone)


def _deal(chance: Random, customer: str, start: str, end: str, zone: str, closes: list[str], has_units: bool) -> Deal:
    priced_in = currency = chance.choice(("USD", "USD", "EUR", "JPY", "KWD"))
    if chance.random() < 0.15:
        priced_in, currency = chance.choice(_PAIRS)
    dates = ["2023-11-01"]
    if chance.random() < 0.15:
        dates.append(f"{closes[0]}-{chance.randint(1, 28):02d}")
    meters = chance.choice(_METERS)
    roll = chance.random()
    return Deal(
        customer=customer,
        start=start,
        end=end,
        zone=zone,
        currency=currency,
        priced_in=priced_in,
        grain="model" if chance.random() < 0.2 else "meter",
        editions=tuple(_edition(chance, date, meters, has_units) for date in sorted(set(dates))),
        discounts=_discounts(chance),
        minimum=_amount(chance, chance.randint(0, 4), 3) if chance.random() < 0.2 else "",
        levies=_levies(chance),
        promise=_promise(chance, closes) if roll < 0.2 else None,
        cap=_amount(chance, chance.randint(0, 5), 3) if chance.random() < 0.1 else "",
        credits=_credits(chance, closes) if chance.random() < 0.15 else (),
        locked=_amount(chance, 2, 6) if priced_in != currency and chance.random() < 0.5 else "",
    )


def _discounts(chance: Random) -> tuple[tuple[str, tuple[str, ...]], ...]:
    if chance.random() < 0.75:
        return ()
    models = chance.choice(((), ("m",), ("m", "n")))
    return tuple((chance.choice(_PERCENTS), models) for _ in range(chance.randint(1, 2)))


def _levies(chance: Random) -> tuple[Levy, ...]:
    if chance.random() < 0.7:
        return ()
    if chance.random() < 0.5:
        return (Levy("VAT", chance.choice(("19", "20", "7.7", "0"))),)
    return Levy("reduced", "8.25", ("n",)), Levy("VAT", "19")


def _promise(chance: Random, closes: list[str]) -> Promise:
    last = closes[-1] if chance.random() < 0.5 else calendar.following(calendar.following(closes[-1]))
    if last <= closes[0]:
        last = calendar.following(closes[0])
    return Promise(
        amount=_amount(chance, chance.randint(0, 6), chance.choice((0, 2, 6))),
        first=closes[0],
        last=last,
        percent=chance.choice(("0", *_PERCENTS)),
        overage=chance.choice(("", "", "1.1", "0.999999")),
        prepaid=chance.random() < 0.6,
    )


def _credits(chance: Random, closes: list[str]) -> tuple[Voucher, ...]:
    """One or two, of whole units of the currency."""
    made = []
    for number in range(chance.randint(1, 2)):
        first = chance.choice((closes[0], closes[-1], "2023-11"))
        expires = chance.choice((closes[-1], calendar.following(calendar.following(closes[-1]))))
        if expires <= first:
            expires = calendar.following(first)
        amount = str(chance.randrange(10 ** chance.randint(1, 5)) + 1)
        made.append(Voucher(f"credit-{number + 1}", amount, first, expires, chance.random() < 0.5))
    return tuple(made)


def _edition(chance: Random, date: str, meters: tuple[str, ...], has_units: bool) -> Edition:
    tiers = ("default", "batch") if chance.random() < 0.2 else ("default",)
    models = ("m", "n") if chance.random() < 0.3 else ("m",)
    rows: list[Row] = []
    hours: tuple[Hours, ...] = ()
    if chance.random() < 0.25:
        hours = tuple(sorted(chance.sample(_HOURS, chance.randint(1, 2))))
    longs = tuple(chance.sample((1, 999, 1000, 200_000), chance.randint(1, 2))) if chance.random() < 0.15 else ()
    for model in models:
        for meter in meters:
            if meter in ("cached_input_tokens", "reasoning_tokens", "cache_write_tokens") and chance.random() < 0.4:
                continue  # Priced as the whole it is a part of.
            for tier in tiers:
                rows.append(_row(chance, model, meter, tier))
                rows += [_flat(chance, model, meter, tier, item.name) for item in hours if chance.random() < 0.7]
                rows += [_flat(chance, model, meter, tier, f"above_{limit}") for limit in longs]
    if has_units:
        rows += unit_rows(chance, ("m", "n"))
    return Edition(date, tuple(rows), hours)


def _row(chance: Random, model: str, meter: str, tier: str) -> Row:
    roll = chance.random()
    if roll < 0.6:
        return _flat(chance, model, meter, tier)
    if roll < 0.7:
        size = chance.choice((1, 3, 1000, 10**6))
        return Row(model, meter, tier, _amount(chance, 2, 12), mode="package", size=size)
    ends = sorted({chance.choice((1, 10, 1000, 10**6, 10**7 + 1)) for _ in range(chance.randint(0, 3))})
    steps = tuple((end, _price(chance)) for end in (*ends, None))
    return Row(model, meter, tier, "0", 10**6, mode="graduated" if roll < 0.85 else "volume", steps=steps)


def _flat(chance: Random, model: str, meter: str, tier: str, of: str = "") -> Row:
    if chance.random() < 0.2:
        return Row(model, meter, tier, _amount(chance, 2, 12), 1, of)
    return Row(model, meter, tier, _price(chance), 10**6, of)


def _price(chance: Random) -> str:
    """A price per million, at most six digits behind the point."""
    return chance.choice(("0", "30", "0.15", "0.4", "1.25")) if chance.random() < 0.4 else _amount(chance, 3, 6)


def _amount(chance: Random, digits: int, behind: int) -> str:
    """A decimal above nothing."""
    whole = chance.randrange(10**digits)
    if not behind:
        return str(whole + 1)
    return f"{whole}.{chance.randrange(1, 10**behind):0{behind}d}"


def _uses(
    chance: Random, customer: str, deals: list[Deal], all_units: tuple[Units, ...], closes: list[str]
) -> list[Use]:
    """A few requests, many of them at the edges of months, days, windows and changes of clocks."""
    rows = [row for edition in deals[0].editions for row in edition.rows if row.meter != UNIT_HOURS]
    meters, models = sorted({row.meter for row in rows}), sorted({row.model for row in rows})
    zone, first = deals[0].zone, closes[0]
    begins, end = calendar.begins(first, zone), _end_of(closes, zone)
    units = {item.deployment: item for item in all_units}
    uses = []
    for number in range(chance.choice((0, 1, 1, 1, 2, 2, 2, 3, 4, 7))):
        deployment = chance.choice(("chat", "draw"))
        at = _instant(chance, begins, end, deals)
        if deployment in units and chance.random() < 0.8:
            at = chance.choice(units[deployment].steps).at + chance.randint(-30, 90) * calendar.MINUTE
        used = {}
        for meter in meters if chance.random() < 0.5 else chance.sample(meters, 1):
            used[meter] = _quantity(chance)
        if chance.random() < 0.1:
            used["reasoning_tokens" if "output_tokens" in meters else "images"] = _quantity(chance)
        arrives = chance.randrange(len(closes)) if chance.random() < 0.25 else 0
        model = units[deployment].model if deployment in units else chance.choice(models)
        tier = "batch" if chance.random() < 0.15 else "default"
        uses.append(Use(f"{customer}-{number}", at, model, tier, dict(sorted(used.items())), deployment, arrives))
    return uses


def _instant(chance: Random, begins: int, end: int, deals: list[Deal]) -> int:
    roll = chance.random()
    if roll < 0.6:
        return chance.randrange(begins, end)
    edges = [begins, end]
    for deal in deals:
        edges += [calendar.midnight(*map(int, date.split("-")), deal.zone) for date in (deal.start, deal.end) if date]
        for edition in deal.editions:
            for hours in edition.hours:
                day = calendar.local(chance.randrange(begins, end), hours.zone)
                midnight = calendar.midnight(day.year, day.month, day.day, hours.zone)
                edges += [midnight + hours.start * calendar.MINUTE, midnight + hours.end * calendar.MINUTE]
    for starts in (calendar.ZONES[deals[0].zone].starts, calendar.ZONES["Europe/Berlin"].starts):
        edges += [at for at in starts if begins <= at < end]
    return chance.choice(edges) + chance.choice((-calendar.HOUR, -calendar.MINUTE, -1, 0, 1, calendar.HOUR - 1))


def _quantity(chance: Random) -> int:
    roll = chance.random()
    if roll < 0.3:
        return chance.choice((0, 1, 2, 9, 10, 11, 999, 1000, 1001, 10**6 - 1, 10**6, 10**6 + 1, 10**7 + 1, 10**7 + 2))
    return chance.randrange(10**5) if roll < 0.9 else chance.randrange(10**8)
