"""Single values that several sections share: identifiers, currencies, zones and the start of something dated."""

import re

from entrepot.core.periods import Instant, format_instant, zone_of
from entrepot.provisioning.currencies import CURRENCIES
from entrepot.provisioning.fields import Fields

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def not_yet(what: str) -> str:
    """The sentence that refuses what contracts and worlds will be able to say later."""
    return f"{what} are not supported yet and would not be applied; remove this to go on"


def read_currency(fields: Fields) -> str:
    """The currency, which must be there."""
    text = fields.text("currency")
    if text and text not in CURRENCIES:
        fields.fault(f"currency {text!r} is not an ISO 4217 code such as USD", "currency")
    return text


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
