"""Agreements with partners and what they report: what is wrong with one, by line."""

import pytest

from entrepot.core.agreements import Agreement, PartnerReport
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.provisioning.world_file import read_world
from tests.support.worlds import SMALL, faults_of

AT = len(SMALL.splitlines()) + 2
RENTAL = "partner: openai, kind: capacity_rental, direction: receive, unit: gpu_hour, each: '2.1735'"


def agreed(row: str, report: str = "") -> str:
    """The small world with an agreement, and a report."""
    reports = f"partner_reports:\n  - {{{report}}}\n" if report else ""
    return f"{SMALL}agreements:\n  - {{{row}}}\n{reports}"


def test_agreements_and_reports_are_read() -> None:
    share = "partner: openai, kind: resale_share, direction: pay, percent: '20', from: 2023-01-01, to: 2026-04-27"
    world = read_world([("world.yaml", agreed(share + ", lifetime_cap: '5'"))])
    begins, ends = parse_instant("2023-01-01"), parse_instant("2026-04-27")
    assert world.agreements == (
        Agreement(
            "openai/resale_share@2023-01-01",
            "openai",
            "resale_share",
            "pay",
            begins,
            ends,
            "USD",
            share=2 * 10**11,
            cap_pico=5 * 10**12,
        ),
    )
    report = "partner: openai, kind: capacity_rental, period: 2024-03, units: '1234.5'"
    rented = read_world([("world.yaml", agreed(RENTAL + ", currency: EUR", report))])
    assert rented.agreements == (
        Agreement(
            "openai/capacity_rental@always",
            "openai",
            "capacity_rental",
            "receive",
            0,
            END_OF_TIME,
            "EUR",
            unit="gpu_hour",
            each_pico=2_173_500_000_000,
        ),
    )
    assert rented.partner_reports == (
        PartnerReport("openai/capacity_rental@2024-03", "openai", "capacity_rental", "2024-03", 1_234_500_000_000_000),
    )


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("partner: nobody, kind: resale_share, direction: pay, percent: '20'", "partner 'nobody' is not declared"),
        ("partner: own, kind: resale_share, direction: pay, percent: '20'", "partner 'own' is not declared"),
        ("partner: openai, kind: gift, direction: pay", "kind 'gift' is not one of resale_share"),
        (
            "partner: openai, kind: resale_share, direction: up, percent: '1'",
            "direction 'up' is not one of pay, receive",
        ),
        ("partner: openai, kind: resale_share, direction: pay", "percent is missing"),
        (RENTAL + ", percent: '5'", "percent does not go with capacity_rental"),
        (RENTAL.replace("2.1735", "-1"), "each cannot be negative"),
        (RENTAL + ", from: 2024-02-01, to: 2024-01-01", "to must be later than from"),
    ],
)
def test_an_agreement_that_makes_no_sense_is_named(row: str, fault: str) -> None:
    told = faults_of(agreed(row))
    assert any(text.startswith(f"world.yaml:{AT}: agreement") and fault in text for text in told), told


@pytest.mark.parametrize(
    ("report", "fault"),
    [
        ("partner: openai, kind: direct_sales_share, period: 2024-03, sales: '1'", "no agreement of kind direct_sales"),
        (
            "partner: openai, kind: capacity_rental, period: 2024-03, sales: '1'",
            "sales does not go with capacity_rental",
        ),
        ("partner: openai, kind: capacity_rental, period: March, units: '1'", "'March' is not a month"),
        ("partner: nobody, kind: capacity_rental, period: 2024-03, units: '1'", "partner 'nobody' is not declared"),
    ],
)
def test_a_report_that_makes_no_sense_is_named(report: str, fault: str) -> None:
    told = faults_of(agreed(RENTAL, report))
    assert any(text.startswith(f"world.yaml:{AT + 2}: partner report") and fault in text for text in told), told


def followed(kind: str, day: str) -> str:
    """The small world with an agreement that another one follows on the day."""
    row = f"partner: openai, kind: {kind}, direction: receive"
    rows = (f"{row}, percent: '20', from: 2024-01-01, to: {day}", f"{row}, percent: '25', from: {day}")
    return SMALL + "agreements:\n" + "".join(f"  - {{{row}}}\n" for row in rows)


@pytest.mark.parametrize("day", ["2024-03-02", "2024-03-31"])
def test_a_reported_month_is_not_of_two_agreements(day: str) -> None:
    (told,) = faults_of(followed("direct_sales_share", day))
    assert told.startswith(f"world.yaml:{AT + 1}: agreement")
    assert "openai/direct_sales_share@2024-01-01 holds for a part of 2024-03, too" in told


@pytest.mark.parametrize(("kind", "day"), [("direct_sales_share", "2024-03-01"), ("resale_share", "2024-03-15")])
def test_an_agreement_follows_another(kind: str, day: str) -> None:
    assert len(read_world([("world.yaml", followed(kind, day))]).agreements) == 2


def sections(**rows: str) -> str:
    """The small world with sections of one row each, a key in each line."""
    return SMALL + "".join(f"{name}:\n  - {row.replace('; ', f'{NEXT}')}\n" for name, row in rows.items())


NEXT = "\n    "
SHARE = "partner: openai; kind: resale_share; direction: pay; percent: 20"
DIRECT = "partner: openai; kind: direct_sales_share; direction: pay; percent: 20"
RENTED = "partner: openai; kind: capacity_rental; direction: receive; unit: gpu_hour; each: 2"


@pytest.mark.parametrize(
    ("row", "faults"),
    [
        ("3", ["0: agreement must be keys with values, not the single value '3'"]),
        (
            "kind: resale_share; direction: pay; percent: x",
            [
                "0: agreement: partner is missing",
                "2: agreement: percent: 'x' is not a decimal number with at most 12 digits after the point",
            ],
        ),
        (f"{SHARE}; unit: gpu", ["4: agreement with openai of kind resale_share: unit does not go with resale_share"]),
        (f"{SHARE}; each: 3", ["4: agreement with openai of kind resale_share: each does not go with resale_share"]),
        (
            f"{RENTED}; percent: 3",
            ["5: agreement with openai of kind capacity_rental: percent does not go with capacity_rental"],
        ),
        (
            f"{SHARE}; from: 2024-01-01; to: 2024-01-01",
            ["5: agreement with openai of kind resale_share: to must be later than from"],
        ),
    ],
)
def test_each_fault_of_an_agreement_is_told_with_its_line(row: str, faults: list[str]) -> None:
    assert from_line(AT, faults_of(sections(agreements=row))) == faults


@pytest.mark.parametrize(
    ("agreement", "report", "faults"),
    [
        (RENTED, "3", ["0: partner report must be keys with values, not the single value '3'"]),
        (
            RENTED,
            "partner: openai; kind: capacity_rental; period: March; units: -1",
            [
                "2: partner report: 'March' is not a month such as 2024-03",
                "3: partner report: units cannot be negative",
            ],
        ),
        (
            RENTED,
            "partner: openai; kind: capacity_rental; units: -1",
            ["0: partner report: period is missing", "2: partner report: units cannot be negative"],
        ),
        (
            RENTED,
            "kind: capacity_rental; period: 2024-03; units: -1",
            ["0: partner report: partner is missing", "2: partner report: units cannot be negative"],
        ),
        (
            RENTED,
            "partner: openai; kind: capacity_rental; period: 2024-03; units: 1; sales: 1",
            [
                "4: partner report of openai for 2024-03: sales does not go with capacity_rental; it reports units",
            ],
        ),
        (
            DIRECT,
            "partner: openai; kind: direct_sales_share; period: 2024-03; sales: 1; units: 1",
            [
                "4: partner report of openai for 2024-03: units does not go with direct_sales_share; it reports sales",
            ],
        ),
    ],
)
def test_each_fault_of_a_report_is_told_with_its_line(agreement: str, report: str, faults: list[str]) -> None:
    text = sections(agreements=agreement, partner_reports=report)
    assert from_line(AT + agreement.count(";") + 2, faults_of(text)) == faults


def from_line(line: int, faults: list[str]) -> list[str]:
    """Faults with their lines counted from this one."""
    places = (fault.removeprefix("world.yaml:").partition(": ") for fault in faults)
    return [f"{int(at) - line}: {said}" for at, _, said in places]


def test_what_is_wrong_where_one_follows_another_in_a_month_is_told_with_its_line() -> None:
    first = f"{DIRECT}; from: 2024-01-01; to: 2024-03-01T00:00:00.000001Z"
    text = sections(agreements=first) + f"  - {DIRECT}; from: 2024-03-02\n".replace("; ", NEXT)
    (fault,) = from_line(AT + 6, faults_of(text))
    assert fault == (
        "4: agreement with openai of kind direct_sales_share: openai/direct_sales_share@2024-01-01 holds for a part of "
        "2024-03, too, and a partner reports whole months: let one end and the other begin on the first day of a month"
    )


def test_one_without_any_time_is_followed_by_no_other() -> None:
    text = sections(agreements=f"{DIRECT}; from: 2024-03-05; to: 2024-03-05")
    (fault,) = faults_of(text + f"  - {DIRECT}; from: 2024-03-06\n".replace("; ", NEXT))
    assert fault.endswith("to must be later than from")


def test_agreements_of_different_kinds_may_share_a_month() -> None:
    text = sections(agreements=f"{DIRECT}; from: 2024-01-01; to: 2024-03-15")
    both = text + f"  - {RENTED}; from: 2024-03-15\n".replace("; ", NEXT)
    assert len(read_world([("world.yaml", both)]).agreements) == 2
