"""What usage is counted as, or why it waits."""

import msgspec
import pytest

from entrepot.core.charges import Series
from entrepot.core.periods import END_OF_TIME, HOUR, MINUTE, parse_instant
from entrepot.core.price_windows import PriceWindow
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.usage_event import UsageEvent
from entrepot.core.world import World, WorldIndex
from entrepot.metering.record import Recorder
from tests.support.billing import MARCH, contract, prices, usage, version, world

PRICES = prices(("m", "input_tokens", "1"), ("m", "output_tokens", "2"))


def counted(declared: World, *events: UsageEvent) -> list[tuple[str, str, int]]:
    """(contract, price version, hour) of each event; all of them can be booked."""
    metered, refused = Recorder(WorldIndex(declared)).record(events)
    assert refused == []
    return [(item.series.contract, item.series.price_version, item.hour) for item in metered]


def refusal(declared: World | None, event: UsageEvent) -> tuple[str, str]:
    """(kind, reason) of the only event, which cannot be booked."""
    metered, refused = Recorder(None if declared is None else WorldIndex(declared)).record([event])
    assert metered == []
    assert [item.event for item in refused] == [event]
    return refused[0].kind, refused[0].reason


def test_an_event_is_counted_by_its_names_in_the_hour_of_its_admission() -> None:
    event = usage("a", MARCH + HOUR + 5, finished_at=MARCH + 3 * HOUR)
    metered, _ = Recorder(WorldIndex(world(version(PRICES)))).record([event])
    assert metered[0].series == Series("acme@2024-01-01", "list@2024-01-01", "acme", "search", "chat", "m", "default")
    assert (metered[0].hour, metered[0].event) == (MARCH + HOUR, event)


def test_contract_and_price_version_are_those_in_force_at_admission() -> None:
    noon = parse_instant("2024-03-10T12:00:00Z")
    declared = world(
        version(PRICES),
        version(PRICES, "2024-03-05"),
        contracts=[
            contract("acme", effective_to=noon),
            contract("acme", id="acme@2024-03-10", effective_from=noon),
        ],
    )
    fifth = parse_instant("2024-03-05")
    events = [usage(str(at), at) for at in (fifth - 1, fifth, noon - 1, noon, noon - 1, fifth - 1)]
    assert [item[:2] for item in counted(declared, *events)] == [
        ("acme@2024-01-01", "list@2024-01-01"),
        ("acme@2024-01-01", "list@2024-03-05"),
        ("acme@2024-01-01", "list@2024-03-05"),
        ("acme@2024-03-10", "list@2024-03-05"),
        ("acme@2024-01-01", "list@2024-03-05"),
        ("acme@2024-01-01", "list@2024-01-01"),
    ]


@pytest.mark.parametrize(
    ("zone", "month"),
    [
        ("UTC", "2024-04-01T00:00:00Z"),
        ("Asia/Kolkata", "2024-03-31T18:30:00Z"),
        ("Asia/Kathmandu", "2024-03-31T18:15:00Z"),
        ("Pacific/Chatham", "2024-03-31T10:15:00Z"),
        ("America/New_York", "2024-04-01T04:00:00Z"),
    ],
)
def test_an_hour_is_cut_where_the_month_begins(zone: str, month: str) -> None:
    begins = parse_instant(month)
    declared = world(version(PRICES), contracts=[contract("acme", zone=zone)])
    events = [usage(str(at), at) for at in (begins - 1, begins, begins + HOUR)]
    hour = begins - begins % HOUR
    before = hour if begins % HOUR else begins - HOUR
    assert [item[2] for item in counted(declared, *events)] == [before, begins, hour + HOUR]
    assert {item[2] % (15 * MINUTE) for item in counted(declared, *events)} == {0}


def test_undeclared_projects_and_deployments_are_labels() -> None:
    events = [usage("a", project="", deployment=""), usage("b", project="new", deployment="x")]
    assert len(counted(world(version(PRICES)), *events)) == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"id": ""}, "id must have"),
        ({"id": "x" * 129}, "id must have"),
        ({"customer": ""}, "customer is missing"),
        ({"model": ""}, "model is missing"),
        ({"tier": "gold"}, "tier 'gold'"),
        ({"finished_at": MARCH - 1}, "before admitted_at"),
        ({"admitted_at": -1, "finished_at": 0}, "between 1970 and 9999"),
        ({"finished_at": END_OF_TIME}, "between 1970 and 9999"),
        ({"meters": {"words": 1}}, "'words' is unknown"),
        ({"meters": {"input_tokens": -1}}, "negative"),
        ({"meters": {"input_tokens": 10**15 + 1}}, "is more than"),
        ({"meters": {}, "raw": b"{}"}, "could not be read"),
    ],
)
def test_what_cannot_be_is_invalid_also_when_its_place_is_known(changes: dict[str, object], reason: str) -> None:
    recorder = Recorder(WorldIndex(world(version(PRICES))))
    metered, refused = recorder.record([usage("first"), usage("a", **changes)])  # type: ignore[arg-type]
    assert [item.event.id for item in metered] == ["first"]
    assert refused[0].kind == "invalid"
    assert reason in refused[0].reason


def test_nothing_used_is_no_fault() -> None:
    assert len(counted(world(version(PRICES)), usage("a", meters={}), usage("b", meters={"images": 0}))) == 2


def test_a_correction_may_be_negative() -> None:
    assert len(counted(world(version(PRICES)), usage("a", meters={"input_tokens": -5}, corrects="b"))) == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"customer": "nobody"}, "customer 'nobody' is not declared; declare the customer and a contract"),
        ({"admitted_at": 0}, "customer 'acme' has no contract in force at 1970-01-01T00:00:00Z; declare one"),
        ({"model": "other"}, "has no price for input_tokens of model 'other' in tier 'default'; declare it"),
        ({"tier": "batch"}, "has no price for input_tokens of model 'm' in tier 'batch'"),
        ({"meters": {"images": 1}}, "has no price for images"),
        ({"project": "theirs"}, "project 'theirs' belongs to customer 'zeta', not 'acme'"),
        ({"deployment": "peak"}, "deployment 'peak' of project 'search' serves model 'n', not 'm'"),
    ],
)
def test_what_has_no_price_waits_and_says_what_to_declare(changes: dict[str, object], reason: str) -> None:
    declared = world(
        version(PRICES),
        customers=["acme", "zeta"],
        projects=[Project("theirs", "zeta"), Project("search", "acme")],
        deployments=[Deployment("peak", "search", "n"), Deployment("chat", "search", "m")],
    )
    if changes.get("model"):
        changes = {**changes, "deployment": "label"}
    kind, said = refusal(declared, usage("a", **changes))  # type: ignore[arg-type]
    assert kind == "unpriced"
    assert reason in said


def test_without_a_price_version_or_a_world_usage_waits() -> None:
    assert "price book 'list' has no version in force" in refusal(world(version(PRICES, "2024-06-01")), usage("a"))[1]
    assert "no world is declared" in refusal(None, usage("a"))[1]


def test_a_part_without_a_price_has_the_price_of_the_whole() -> None:
    event = usage("a", meters={"cached_input_tokens": 1, "reasoning_tokens": 1})
    assert len(counted(world(version(PRICES)), event)) == 1


def test_any_number_of_labels_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.metering.record._PLACES_MAX", 3)
    events = [usage(str(number), deployment=str(number % 7)) for number in range(40)]
    metered, refused = Recorder(WorldIndex(world(version(PRICES)))).record(events)
    assert [item.series.deployment for item in metered] == [event.deployment for event in events]
    assert refused == []


def test_no_more_places_are_kept_than_that_however_often_prices_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("entrepot.metering.record._PLACES_MAX", 3)
    peak = PriceWindow("peak", "UTC", tuple(range(7)), 8 * 60, 20 * 60)
    dear = msgspec.structs.replace(prices(("m", "input_tokens", "2"))[0], price_class="peak")
    priced = msgspec.structs.replace(version((*prices(("m", "input_tokens", "1")), dear)), windows=(peak,))
    recorder = Recorder(WorldIndex(world(priced)))
    metered, _ = recorder.record([usage(str(hour), MARCH + hour * HOUR) for hour in range(0, 480, 12)])
    assert [item.series.price_class for item in metered] == ["", "peak"] * 20
    assert sum(map(len, recorder._earlier.values())) <= 3


def test_a_record_that_comes_to_more_than_a_billion_is_a_slip() -> None:
    dear = world(version(prices(("m", "input_tokens", "100000000"))))  # A hundred each.
    assert counted(dear, usage("a", meters={"input_tokens": 10**7}))
    for slip in (10**7 + 1, 10**12):
        kind, reason = refusal(dear, usage("a", meters={"input_tokens": slip}))
        assert kind == "unpriced"
        assert "more than 1,000,000,000 in one record" in reason
    credit = usage("b", meters={"input_tokens": -(10**12)}, corrects="a")
    assert "more than 1,000,000,000" in refusal(dear, credit)[1]
