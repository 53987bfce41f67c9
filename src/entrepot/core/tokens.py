"""Meters: what is counted. Token meters are mutually exclusive and sum to the upstream's own totals."""

TOKEN_METERS = frozenset(
    f"{medium}{kind}"
    for medium in ("", "audio_", "image_")
    for kind in ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
)
# Calls of an upstream's own tools, which it charges beside the tokens.
TOOL_METERS = frozenset({"code_interpreter_calls", "file_search_calls", "image_generation_calls", "web_search_calls"})
SEATS = "seats"
UNIT_HOURS = "provisioned_unit_hours"  # From deployments, not from requests.
# Counted by the minute: units that are charged at their price, units that a reservation covers, units it is for.
UNIT_MINUTES, COVERED_MINUTES, RESERVED_MINUTES = (
    "provisioned_unit_minutes",
    "covered_unit_minutes",
    "reserved_unit_minutes",
)
# Counted from deployments and reservations, which the world says, and not from requests.
METERS_OF_UNITS = frozenset({UNIT_HOURS, UNIT_MINUTES, COVERED_MINUTES, RESERVED_MINUTES})
MINUTES_PER_HOUR = 60
METERS = (
    TOKEN_METERS
    | TOOL_METERS
    | {"images", "audio_seconds", "characters", "search_units", UNIT_HOURS, SEATS, "requests"}
)

# What a request was made of; together, how long its input is.
INPUT_METERS = tuple(
    sorted(meter for meter in TOKEN_METERS if not meter.endswith(("output_tokens", "reasoning_tokens")))
)

CACHED_INPUT_METERS = tuple(meter for meter in INPUT_METERS if meter.endswith("cached_input_tokens"))
OUTPUT_METERS = tuple(sorted(TOKEN_METERS.difference(INPUT_METERS)))

# A meter without a price of its own is priced as the one it is a part of in every public list, and never at nothing.
PRICED_AS = {
    f"{medium}{part}": f"{medium}{whole}"
    for medium in ("", "audio_", "image_")
    for part, whole in (
        ("cached_input_tokens", "input_tokens"),
        ("cache_write_tokens", "input_tokens"),
        ("reasoning_tokens", "output_tokens"),
    )
}

CACHED_TIER = "cached"  # Answers that were given again: the meters of the first time, at prices of their own.
BATCH_TIER = "batch"
TIERS = ("default", "priority", "flex", BATCH_TIER, CACHED_TIER)
