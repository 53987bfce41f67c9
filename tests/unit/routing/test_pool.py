"""The order in which a request tries the upstreams of its deployment, and who is left out."""

from collections import Counter

import pytest

from entrepot.core.upstream_rules import HealthRules, PoolRules, UpstreamRules
from entrepot.routing.fleet import Fleet
from entrepot.routing.pool import Leading, Member, Pool
from entrepot.routing.retry_budget import RESERVE, WINDOW, RetryBudget

SECOND = 1_000_000
EJECTING = UpstreamRules(health=HealthRules(failures=1, eject_ms=1_000))


class Setting:
    """A fleet with one pool of upstreams a, b, c …"""

    def __init__(self, *weights: int, ranks: tuple[int, ...] = (), rules: PoolRules | None = None) -> None:
        self.fleet: Fleet[Leading] = Fleet()
        places = [(chr(97 + number), "url") for number in range(len(weights))]
        self.endpoints = [self.fleet.endpoint(place, EJECTING) for place in places]
        self.pool = Pool(
            [
                Member(Leading(endpoint), rank, weight)
                for endpoint, rank, weight in zip(self.endpoints, ranks or (0,) * len(weights), weights, strict=True)
            ],
            rules or PoolRules(),
        )
        self.fleet.serve([self.pool], places)

    def lose(self, number: int, at: int = 0) -> None:
        self.fleet.failed(self.endpoints[number], at)

    def order(self) -> str:
        return "".join(path.endpoint.upstream for path in self.pool.order())

    def order_for(self, key: str) -> str:
        return "".join(path.endpoint.upstream for path in self.pool.order_for(key.encode()))


def test_requests_are_spread_by_weight_and_evenly() -> None:
    setting = Setting(5, 1, 2)
    firsts = [setting.order()[0] for _ in range(16)]
    assert Counter(firsts) == {"a": 10, "b": 2, "c": 4}
    assert firsts[:8] == firsts[8:]
    assert "aaaa" not in "".join(firsts)


def test_every_order_has_all_of_them_and_what_stands_by_comes_last() -> None:
    setting = Setting(1, 1, 1, ranks=(0, 0, 1))
    assert [setting.order() for _ in range(3)] == ["abc", "bac", "abc"]


def test_what_is_ejected_is_left_out_and_comes_back() -> None:
    setting = Setting(1, 1, 1, 1)
    setting.lose(1)
    assert {"b" in setting.order() for _ in range(4)} == {False}
    setting.fleet.tick(SECOND)
    assert {"b" in setting.order() for _ in range(4)} == {True}


def test_no_more_than_the_share_is_left_out_and_who_comes_back_soonest_stays_as_the_last() -> None:
    setting = Setting(1, 1, 1)  # Half of three is one.
    setting.lose(2, at=5)
    setting.lose(1, at=0)
    assert setting.order() == "ab"
    setting.lose(0, at=9)
    assert setting.order() == "bc"
    alone = Setting(1)
    alone.lose(0)
    assert alone.order() == "a"


def test_where_all_may_be_ejected_nothing_is_left_and_it_is_said_for_how_long() -> None:
    setting = Setting(1, 1, rules=PoolRules(ejected_percent_max=100))
    setting.lose(0, at=0)
    setting.lose(1, at=SECOND // 2)
    assert setting.order() == ""
    assert setting.pool.back_in(SECOND // 4) == 3 * SECOND // 4


def test_an_empty_pool_has_an_empty_order() -> None:
    setting = Setting()
    assert (setting.order(), setting.order_for("k"), setting.pool.back_in(0)) == ("", "", 0)
    assert not setting.pool.has_choice


def test_a_key_keeps_to_its_upstream_and_a_lost_one_moves_only_its_own() -> None:
    setting = Setting(1, 1, 1, 1)
    keys = [f"key-{number}" for number in range(400)]
    before = {key: setting.order_for(key) for key in keys}
    assert before == {key: setting.order_for(key) for key in keys}
    assert all(60 < count < 140 for count in Counter(order[0] for order in before.values()).values())
    setting.lose(2)
    after = {key: setting.order_for(key) for key in keys}
    assert {key: order.replace("c", "") for key, order in before.items()} == after
    setting.fleet.tick(SECOND)
    assert before == {key: setting.order_for(key) for key in keys}


def test_keys_follow_weights() -> None:
    setting = Setting(3, 1)
    count = Counter(setting.order_for(f"key-{number}")[0] for number in range(1000))
    assert 680 < count["a"] < 820


@pytest.mark.parametrize(("ranks", "choice"), [((0, 0), True), ((0, 1), False)])
def test_whether_a_key_makes_a_difference(ranks: tuple[int, ...], choice: bool) -> None:
    assert Setting(1, 1, ranks=ranks).pool.has_choice == choice


def test_a_full_upstream_is_passed_over() -> None:
    setting = Setting(1, 1)
    for endpoint in setting.endpoints:
        endpoint.obey(UpstreamRules(max_concurrent=1))
    ways = setting.pool.order()
    assert [setting.pool.enter(ways, 0) for _ in range(3)] == [0, 1, -1]
    assert [endpoint.is_full for endpoint in setting.endpoints] == [True, True]
    setting.endpoints[1].leave()
    assert setting.pool.enter(ways, 0) == 1
    assert [endpoint.full for endpoint in setting.endpoints] == [3, 1]


def test_one_trial_at_a_time_and_the_rest_go_elsewhere() -> None:
    setting = Setting(1, 1)
    setting.lose(0)
    setting.fleet.tick(SECOND)
    assert setting.endpoints[0].health.state == "half_open"
    ways = tuple(Leading(endpoint) for endpoint in setting.endpoints)
    assert [setting.pool.enter(ways, 0) for _ in range(3)] == [0, 1, 1]
    setting.endpoints[0].leave()  # Its client left: nothing is known.
    assert setting.pool.enter(ways, 0) == 0
    setting.fleet.succeeded(setting.endpoints[0], SECOND)
    assert [setting.pool.enter(ways, 0) for _ in range(2)] == [0, 0]


def test_where_only_trials_are_left_they_are_tried_all_the_same_unless_all_may_be_ejected() -> None:
    for percent, entered in ((50, [0, 0]), (100, [0, -1])):
        setting = Setting(1, rules=PoolRules(ejected_percent_max=percent))
        setting.lose(0)
        setting.fleet.tick(SECOND)
        ways = setting.pool.order()
        assert [setting.pool.enter(ways, 0) for _ in range(2)] == entered


def test_a_budget_is_a_share_of_requests_and_a_reserve() -> None:
    budget = RetryBudget(20)
    budget.tick(WINDOW, 0)
    assert [budget.take(0) for _ in range(RESERVE + 1)] == [True] * RESERVE + [False]
    assert [budget.take(100) for _ in range(21)] == [True] * 20 + [False]
    budget.tick(2 * WINDOW, 100)
    assert sum(budget.take(100) for _ in range(100)) == RESERVE + 20
    budget.tick(3 * WINDOW, 100)
    assert sum(budget.take(100) for _ in range(100)) == RESERVE
    assert (budget.spent, budget.refused) == (RESERVE + 20 + RESERVE + 20 + RESERVE, 2 + 70 + 90)
    assert not RetryBudget(0).take(1000)


@pytest.mark.parametrize(("percent", "requests", "more"), [(100, 1, 1), (1, 99, 0), (1, 100, 1)])
def test_a_share_of_requests_is_whole_retries(percent: int, requests: int, more: int) -> None:
    budget = RetryBudget(percent)
    assert sum(budget.take(requests) for _ in range(100)) == RESERVE + more


def test_a_window_of_retries_is_ten_seconds() -> None:
    budget = RetryBudget(1)
    for at, taken in ((WINDOW - 1, 0), (WINDOW, RESERVE), (2 * WINDOW - 1, 0), (2 * WINDOW, RESERVE)):
        while budget.take(0):
            pass
        budget.tick(at, 0)
        assert sum(budget.take(0) for _ in range(100)) == taken


@pytest.mark.parametrize("recovers", [False, True])
def test_what_happened_to_one_before_its_pool_was_served_is_known_of_it(recovers: bool) -> None:
    """Pools are made ready one after the other, while those that are served go on."""
    setting = Setting(1, 1)
    if recovers:
        setting.lose(1)
        setting.fleet.tick(SECOND)
        setting.lose(1, at=SECOND)
    pool = Pool([Member(Leading(endpoint), 0, 1) for endpoint in setting.endpoints], PoolRules())
    if recovers:
        setting.fleet.tick(60 * SECOND)
    else:
        setting.lose(1)
    setting.fleet.serve([pool], [("a", "url"), ("b", "url")])
    assert {len(pool.order()) for _ in range(4)} == ({2} if recovers else {1})
