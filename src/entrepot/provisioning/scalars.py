"""Single values that several sections share: identifiers, currencies, zones and the start of something dated."""

import re

from entrepot.core.exchange import parse_rate
from entrepot.core.money import parse_pico
from entrepot.core.periods import Instant, format_instant, zone_of
from entrepot.core.terms import parse_percent
from entrepot.provisioning.currencies import CURRENCIES
from entrepot.provisioning.fields import Fields

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_DURATION = re.compile(r"([0-9]{1,9})([smhd])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_currency(fields: Fields, key: str = "currency") -> str:
    """The currency, which must be there."""
    text = fields.text(key)
    if text and text not in CURRENCIES:
        fields.fault(f"{key} {text!r} is not an ISO 4217 code such as USD", key)
    return text


def read_rate(fields: Fields) -> int:
    """The exchange rate in pico, which must be there; 1 after a fault."""
    text = fields.text("rate")
    try:
        return parse_rate(text) if text else 1
    except ValueError as error:
        fields.fault(f"rate: {error}", "rate")
        return 1


def read_share(fields: Fields, key: str) -> int:
    """The share that a percentage says; 0 after a fault."""
    text = fields.text(key)
    try:
        return parse_percent(text) if text else 0
    except ValueError as error:
        fields.fault(f"{key}: {error}", key)
        return 0


def read_amount(fields: Fields, key: str) -> int:
    """A decimal number that is not negative, in pico; 0 after a fault."""
    text = fields.text(key)
    try:
        pico = parse_pico(text) if text else 0
    except ValueError as error:
        fields.fault(f"{key}: {error}", key)
        return 0
    if pico < 0:
        fields.fault(f"{key} cannot be negative", key)
    return max(0, pico)


def read_zone(fields: Fields) -> str:
    """The time zone; UTC when absent or after a fault."""
    text = fields.text("zone", "UTC")
    try:
        zone_of(text or "UTC")
    except ValueError as error:
        fields.fault(str(error), "zone")
        return "UTC"
    return text or "UTC"


def read_start(fields: Fields, zone: str) -> tuple[Instant, str, str]:
    """(effective_from, the date where no more than a date was written or "", how ids name it)."""
    text = fields.text("effective_from")
    at = fields.instant("effective_from", zone, 0)
    date = text if _DATE.fullmatch(text) else ""
    return at, date, date or format_instant(at)


def read_duration_s(fields: Fields, key: str, maximum_s: int) -> int:
    """The seconds of a duration such as 30s, 10m, 2h or 7d, which must be there. 1 after a fault."""
    text = fields.text(key)
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else 0
    if text and not 0 < seconds <= maximum_s:
        fields.fault(f"{key} must be like 30s, 10m, 2h or 7d, and at most {maximum_s // _UNITS_S['d']}d", key)
    return seconds if 0 < seconds <= maximum_s else 1
