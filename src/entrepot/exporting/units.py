"""What meters are counted in, in words that FOCUS and OpenAI's costs know."""

_UNITS = {
    "images": "Images",
    "audio_seconds": "Seconds",
    "characters": "Characters",
    "search_units": "Search Units",
    "provisioned_unit_hours": "Unit-Hours",
    "seats": "Seats",
    "requests": "Requests",
}


def unit_of(meter: str) -> str:
    """The unit, in the plural: "Tokens", "Images". Source: FOCUS 1.2, Unit Format."""
    if meter.endswith("_tokens"):
        return "Tokens"
    if meter.endswith("_unit_minutes"):
        return "Unit-Minutes"
    return "Calls" if meter.endswith("_calls") else _UNITS[meter]


def title_of(meter: str) -> str:
    """The meter in words: "Cached Input Tokens"."""
    return meter.replace("_", " ").title()
