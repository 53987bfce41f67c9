"""What deployments may use in a minute, and have used on average in the running hour."""

import msgspec

from entrepot.core.lifecycle import Successor
from entrepot.core.periods import HOUR, MINUTE
from entrepot.core.provisioned import SizingRule, UnitsFrom
from entrepot.core.quotas import RequestRatio
from entrepot.core.tenancy import Deployment, Project
from entrepot.core.world import World
from entrepot.flows.show_limits import DeploymentLimits, show_limits
from tests.support.billing import MARCH, applied, folded, prices, recorded, usage, version, world

ROWS = (("m", "input_tokens", "2"), ("m", "output_tokens", "8"))
PRICED = version(prices(*ROWS) + prices(*ROWS, tier="batch") + prices(*ROWS, tier="cached"))
NOW = MARCH + 5 * HOUR + 10 * MINUTE
SIZED = SizingRule(minimum=15, step=5, input_tokens_per_minute=100, output_weight=8)


def declared(*deployments: Deployment) -> World:
    made = world(PRICED, projects=[Project("search", "acme")], deployments=deployments)
    (model,) = made.models
    model = msgspec.structs.replace(model, provisioned=(SIZED,), quota=RequestRatio(6, 1000))
    return msgspec.structs.replace(made, models=(model,))


def test_quota_is_shown_beside_the_running_hour_s_average() -> None:
    """Given ten minutes of an hour, tokens of batches, of the cache and of the hour before do not count."""
    chat = Deployment("chat", "search", "m", tokens_per_minute=1000)
    rows = recorded(
        usage("e1", NOW - MINUTE, meters={"input_tokens": 3000, "output_tokens": 1000}),
        usage("e2", NOW - 9 * MINUTE, meters={"input_tokens": 1000}),
        usage("e3", NOW - 11 * MINUTE, meters={"input_tokens": 70_000}),
        usage("e4", NOW - MINUTE, tier="batch", meters={"input_tokens": 70_000}),
        usage("e5", NOW - MINUTE, tier="cached", meters={"input_tokens": 70_000}),
    )
    books = folded(applied(declared(chat, Deployment("free", "search", "m"))), *rows)
    assert show_limits(books, NOW) == [
        DeploymentLimits("acme", "search", "chat", "m", False, tokens=1000, used=500, requests=1, requests_s=10)
    ]


def test_units_are_shown_by_the_load_they_carry_and_the_busiest_comes_first() -> None:
    spans = (UnitsFrom(0, 15), UnitsFrom(NOW - HOUR, 20), UnitsFrom(NOW + HOUR, 0))
    units = Deployment("units", "search", "m", kind="provisioned", units=spans)
    chat = Deployment("chat", "search", "m", tokens_per_minute=1_000_000)
    used = usage("e1", NOW - MINUTE, deployment="units", meters={"input_tokens": 2000, "output_tokens": 1000})
    books = folded(applied(declared(chat, units)), *recorded(used))
    first, second = show_limits(books, NOW)
    assert first == DeploymentLimits("acme", "search", "units", "m", True, 2000, 1000, 0, 0)
    assert (second.deployment, second.used) == ("chat", 0)
    (left,) = show_limits(books, NOW + HOUR)
    assert left.deployment == "chat"


def test_in_an_hour_s_first_minute_the_average_is_of_a_whole_one() -> None:
    chat = Deployment("chat", "search", "m", tokens_per_minute=1000)
    hour = MARCH + 5 * HOUR
    books = folded(applied(declared(chat)), *recorded(usage("e1", hour, meters={"input_tokens": 600})))
    (shown,) = show_limits(books, hour + 1)
    assert shown.used == 600
    assert show_limits(folded(), hour) == []


def test_what_is_shown_is_of_the_model_that_a_deployment_is_upgraded_to() -> None:
    """Given a successor with rules of its own, from its date on they are what requests meet, and no instant before."""
    chat = Deployment("chat", "search", "m", tokens_per_minute=6000, upgrade="on_new_default")
    units = Deployment("units", "search", "m", "provisioned", units=(UnitsFrom(0, 15),), upgrade="on_new_default")
    stays = Deployment("stays", "search", "m", tokens_per_minute=6000, upgrade="never")
    made = declared(chat, units, stays)
    old = msgspec.structs.replace(made.models[0], successor=Successor("m2", NOW))
    sized = SizingRule(minimum=15, step=5, input_tokens_per_minute=300, output_weight=4)
    new = msgspec.structs.replace(made.models[0], id="m2", provisioned=(sized,), quota=RequestRatio(1, 1000, 1))
    used = usage("e1", NOW - MINUTE, deployment="units", meters={"input_tokens": 1000, "output_tokens": 1000})
    books = folded(applied(msgspec.structs.replace(made, models=(old, new))), *recorded(used))

    def shown(at: int) -> dict[str, tuple[str, int, int, int, int]]:
        rows = show_limits(books, at)
        return {row.deployment: (row.model, row.tokens, row.used, row.requests, row.requests_s) for row in rows}

    before, after = shown(NOW - 1), shown(NOW)
    assert before["chat"] == ("m", 6000, 0, 6, 10)
    assert after["chat"] == ("m2", 6000, 0, 1, 10)
    assert before["units"][:2] == ("m", 1500)
    assert after["units"] == ("m2", 4500, 500, 0, 0)
    assert before["stays"] == after["stays"] == before["chat"]
