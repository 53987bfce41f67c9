"""What has been metered cannot be rewritten, and everything else can."""

from collections.abc import Iterable

import pytest

from entrepot.core.periods import Instant, parse_instant
from entrepot.core.world import World
from entrepot.provisioning.metered import contract_conflicts, price_conflicts, removal_conflicts
from tests.support.worlds import small_world

METERED_UNTIL = parse_instant("2024-05-10T12:00:00Z")
CONTRACTS = "projects:\n"
VERSIONS = "customers:\n"


def conflicts(after: World, latest: Instant | None = METERED_UNTIL) -> list[str]:
    before = small_world()
    found: Iterable[str] = (
        *contract_conflicts(before, after, lambda _: latest),
        *price_conflicts(before, after, lambda _: latest),
        *removal_conflicts(before, after, lambda _: latest),
    )
    return list(found)


ALLOWED = {
    "a contract that begins later": {
        CONTRACTS: "  - {customer: acme, effective_from: 2024-06-01, price_book: list}\n" + CONTRACTS
    },
    "an end that is later": {"    price_book: list\n": "    price_book: list\n    effective_to: 2024-06-01\n"},
    "a version that begins later": {
        VERSIONS: "      - {effective_from: 2024-06-01, prices: ["
        + ", ".join(
            f'{{model: {model}, meter: {meter}, per_million: "9"}}'
            for model in ("gpt-4", "smollm2-135m")
            for meter in ("input_tokens", "output_tokens")
        )
        + "]}\n"
        + VERSIONS
    },
    "a version that begins before the first": {
        VERSIONS: "      - {effective_from: 2023-01-01, prices: []}\n" + VERSIONS
    },
    "a price for what had none": {VERSIONS: '          - {model: gpt-4, meter: images, each: "0.04"}\n' + VERSIONS},
    "another name": {"name: Acme,": "name: Acme Holding,"},
    "a deployment gone": {"  - {id: small, project: search, model: smollm2-135m}\n": ""},
}

REFUSED = {
    "another price": ({'"30"': '"31"'}, "a price of list@2024-01-01 cannot change"),
    "a price gone": (
        {
            '          - {model: smollm2-135m, meter: input_tokens, per_million: "0.10"}\n': "",
            '          - {model: smollm2-135m, meter: output_tokens, per_million: "0.20"}\n': "",
            "  - {id: small, project: search, model: smollm2-135m}\n": "",
        },
        "a price of list@2024-01-01 cannot change",
    ),
    "a price for a part that was priced as its whole": (
        {VERSIONS: '          - {model: gpt-4, meter: cached_input_tokens, per_million: "1"}\n' + VERSIONS},
        "a price of list@2024-01-01 cannot change",
    ),
    "a version moved": (
        {"      - effective_from: 2024-01-01\n": "      - effective_from: 2024-01-02\n"},
        "price book version list@2024-01-01 cannot be removed or moved",
    ),
    "a version in between": (
        {
            VERSIONS: "      - effective_from: 2024-03-01\n        prices:\n"
            + "".join(
                f'          - {{model: {model}, meter: {meter}, per_million: "1"}}\n'
                for model in ("gpt-4", "smollm2-135m")
                for meter in ("input_tokens", "output_tokens")
            )
            + VERSIONS
        },
        "price book version list@2024-03-01 would begin in metered time",
    ),
    "a contract in between": (
        {CONTRACTS: "  - {customer: acme, effective_from: 2024-03-01, price_book: list}\n" + CONTRACTS},
        "contract acme@2024-01-01 has usage or invoices until 2024-05-10T12:00:00.000001Z and cannot change for that",
    ),
    "a contract of another zone": (
        {"    price_book: list\n": "    price_book: list\n    zone: Europe/Berlin\n"},
        "contract acme@2024-01-01 has usage",
    ),
    "a contract by model": (
        {"    price_book: list\n": "    price_book: list\n    terms: [{kind: lines, grain: model}]\n"},
        "contract acme@2024-01-01 has usage",
    ),
    "an end that is too early": (
        {"    price_book: list\n": "    price_book: list\n    effective_to: 2024-05-10\n"},
        "contract acme@2024-01-01 has usage",
    ),
    "a project renamed": (
        {"{id: search,": "{id: find,", "project: search, model: gpt-4": "project: find, model: gpt-4",
         "project: search, model: smollm2-135m": "project: find, model: smollm2-135m"},
        "project search cannot be removed: there is usage of acme until 2024-05-10T12:00:00Z",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", ALLOWED.values(), ids=ALLOWED)
def test_what_leaves_metered_time_alone_is_allowed(change: dict[str, str]) -> None:
    assert conflicts(small_world(**change)) == []


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_rewrite_metered_time_is_refused_with_what_to_do(change: dict[str, str], message: str) -> None:
    after = small_world(**change)
    assert any(found.startswith(message) for found in conflicts(after)), conflicts(after)
    assert conflicts(after, latest=None) == []


def reserved(*rows: str) -> World:
    """The small world with reservations."""
    terms = ", ".join(f"{{kind: reservation, units: 15, {row}}}" for row in rows)
    return small_world(**{"    price_book: list\n": f"    price_book: list\n    terms: [{terms}]\n"})


JANUARY, JUNE = 'each_hour: "0.50", from: 2024-01-15', 'each_hour: "0.70", from: 2024-06-01'
ENDED = f"{JANUARY}, to: 2024-03-01"


@pytest.mark.parametrize(
    ("before", "after", "refused"),
    [
        ([], [JANUARY], ""),
        ([JANUARY], [ENDED, JUNE], ""),
        ([JANUARY, JUNE], [JANUARY], ""),
        ([JANUARY], ['each_hour: "0.50", from: 2024-02-15, geography: regional'], ""),
        ([JANUARY, JUNE], [JANUARY, 'each_hour: "0.60", from: 2024-06-01'], ""),
        ([JANUARY], [], "reservation-1 of contract acme@2024-01-01 has begun and can neither go nor change its price"),
        ([JANUARY], ['each_hour: "0.40", from: 2024-01-15'], "reservation-1 of contract acme@2024-01-01 has begun"),
        ([JANUARY], [JUNE, JANUARY], "reservation-1 of contract acme@2024-01-01 has begun"),
    ],
)
def test_a_reservation_that_has_begun_keeps_its_price_and_may_change_otherwise(
    before: list[str], after: list[str], refused: str
) -> None:
    found = list(contract_conflicts(reserved(*before), reserved(*after), lambda _: METERED_UNTIL))
    assert bool(found) == bool(refused), found
    assert all(item.startswith(refused) for item in found), found


def test_a_customer_with_usage_cannot_go() -> None:
    gone = small_world(acme="ajax")
    assert any(found.startswith("customer acme cannot be removed") for found in conflicts(gone))


def test_a_version_by_date_is_weighed_in_the_zone_of_the_contracts() -> None:
    berlin = {"    price_book: list\n": "    price_book: list\n    zone: America/New_York\n"}
    later = {
        VERSIONS: "      - effective_from: 2024-05-10\n        prices:\n"
        + "".join(
            f'          - {{model: {model}, meter: {meter}, per_million: "1"}}\n'
            for model in ("gpt-4", "smollm2-135m")
            for meter in ("input_tokens", "output_tokens")
        )
        + VERSIONS
    }
    midnight_there = parse_instant("2024-05-10", "America/New_York")
    before, after = small_world(**berlin), small_world(**berlin, **later)
    assert list(price_conflicts(before, after, lambda _: midnight_there - 1)) == []
    assert len(list(price_conflicts(before, after, lambda _: midnight_there))) == 1
