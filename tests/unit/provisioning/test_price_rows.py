"""Rows of a price book: every form a price can have, and what is wrong with one, by line."""

import pytest

from entrepot.core.price_windows import PriceWindow
from entrepot.core.prices import Price, Step
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import changed, faults_of


def test_prices_have_all_their_forms() -> None:
    """Steps, packages, hours of the week and lengths of requests; each class of usage is a price of its own."""
    forms = """
          - {model: gpt-4, meter: images, tiers: {mode: volume, steps: [{up_to: 10, each: "2"}, {each: "1"}]}}
          - {model: gpt-4, meter: requests, package: {size: 1000, each: "0.5"}}
          - model: gpt-4
            meter: cached_input_tokens
            per_million: "3"
            windows: [{name: peak, zone: Europe/Berlin, days: mon-fri, from: "08:00", to: "20:00", per_million: "4"}]
            long_context: [{above: 200000, per_million: "6"}]
"""
    line = '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n'
    (version,) = read_world([("world.yaml", changed(line, line + forms.lstrip("\n")))]).price_books
    assert version.windows == (PriceWindow("peak", "Europe/Berlin", (0, 1, 2, 3, 4), 480, 1200),)
    assert [price for price in version.prices if not price.meter.startswith(("in", "out"))] == [
        Price("gpt-4", "cached_input_tokens", "default", 3_000_000),
        Price("gpt-4", "cached_input_tokens", "default", 6_000_000, "above_200000"),
        Price("gpt-4", "cached_input_tokens", "default", 4_000_000, "peak"),
        Price("gpt-4", "images", "default", 0, mode="volume", steps=(Step(10, 2 * 10**12), Step(None, 10**12))),
        Price("gpt-4", "requests", "default", 5 * 10**11, mode="package", package=1000),
    ]


WINDOW = 'per_million: "3", windows: [{name: peak, days: mon-fri, from: "08:00", to: "20:00", per_million: "4"}]'


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ("tiers: {mode: graduated, steps: []}", "tiers: steps must have at least one step"),
        ("tiers: {mode: steep, steps: [{each: '1'}]}", "tiers: mode 'steep' is not one of graduated, volume"),
        ("tiers: {mode: volume, steps: [{up_to: 5, each: '1'}]}", "step: every step but the last ends with up_to"),
        ("tiers: {mode: volume, steps: [{each: '1'}, {each: '1'}]}", "step: every step but the last ends with up_to"),
        (
            "tiers: {mode: volume, steps: [{up_to: 5, each: '1'}, {up_to: 5, each: '1'}, {each: '1'}]}",
            "step: up_to must be more than the 5 of the step before",
        ),
        ("tiers: {mode: volume, steps: [{up_to: 5}, {each: '1'}]}", "step: a price needs either per_million or each"),
        ("package: {each: '1'}", "package: size must be how many units a package has"),
        (WINDOW.replace("08:00", "8"), "window: from: '8' is not a time of day"),
        (WINDOW.replace("mon-fri", "weekdays"), "window: days: 'weekdays' are not days"),
        (WINDOW.replace("peak", "above_3"), "window: a window's name cannot begin with above_"),
        (WINDOW.replace("days", "zone: Mars, days"), "window: 'Mars' is not an IANA time zone"),
        ("per_million: '3', long_context: [{per_million: '1'}]", "long-context price: above must be a number of"),
        (
            "per_million: '3', long_context: [{above: 5}]",
            "long-context price: a price needs either per_million or each",
        ),
        (
            WINDOW.replace("windows: [", 'windows: [{name: peak, from: "07:00", to: "20:00", per_million: "4"}, '),
            "window: window peak has other hours elsewhere in this version; give it another name",
        ),
    ],
)
def test_a_form_that_makes_no_sense_is_named(form: str, fault: str) -> None:
    line = '          - {model: gpt-4, meter: output_tokens, per_million: "60"}\n'
    row = f"          - {{model: gpt-4, meter: images, {form}}}\n"
    told = faults_of(changed(line, line + row))
    assert any(text.startswith(f"world.yaml:17: {fault}") for text in told), told
