"""When an upstream is ejected, for how long, and how it comes back; on a clock of the test's own."""

import pytest

from entrepot.core.upstream_rules import HealthRules
from entrepot.routing.health import MS, Health

RULES = HealthRules(failures=3, failure_percent=50, requests=10, window_ms=10_000, eject_ms=1_000, eject_ms_max=3_000)
SECOND = 1_000 * MS


def state_of(health: Health) -> str:
    return health.state


def ejected(health: Health, at: int) -> Health:
    for _ in range(RULES.failures):
        health.failed(at, requests=3)
    assert state_of(health) == "open"
    return health


def test_a_new_one_is_asked() -> None:
    health = Health(RULES)
    assert (health.is_available, health.troubled, health.until, health.back_at) == (True, False, 0, 0)


def test_failures_in_a_row_eject_and_a_success_between_them_does_not() -> None:
    health = Health(RULES)
    for _ in range(5):
        health.failed(0, requests=1)
        health.failed(0, requests=1)
        health.succeeded(0)
    assert (state_of(health), health.troubled) == ("closed", False)
    ejected(health, at=0)
    assert not health.is_available


def test_a_share_of_failures_in_a_window_ejects() -> None:
    health = Health(RULES)
    for number in range(9):
        health.failed(0, requests=number + 1)
        health.succeeded(0)
    assert state_of(health) == "closed"  # Nine requests are too few to tell.
    health.failed(0, requests=18)
    assert state_of(health) == "open"


def test_a_window_forgets_the_one_before() -> None:
    health = Health(RULES)
    for number in range(9):
        health.failed(0, requests=number + 1)
        health.succeeded(0)
    health.tick(10 * SECOND, requests=100)
    for _ in range(4):
        health.failed(10 * SECOND, requests=110)
        health.succeeded(10 * SECOND)
    assert state_of(health) == "closed"
    health.failed(10 * SECOND, requests=110)
    assert state_of(health) == "open"


def test_a_window_is_as_long_as_its_rule() -> None:
    """Nine failures and one make a half of twenty requests, if they are in one window."""
    for tick_at, state in ((20 * SECOND - 1, "open"), (20 * SECOND, "closed")):
        health = Health(RULES)
        health.tick(10 * SECOND, requests=0)
        for number in range(9):
            health.failed(11 * SECOND, requests=number + 1)
            health.succeeded(11 * SECOND)
        health.tick(tick_at, requests=9)
        health.failed(tick_at, requests=20)
        assert state_of(health) == state


def test_before_the_first_window_nothing_has_failed() -> None:
    """Nine failures are less than a half of nineteen requests."""
    health = Health(RULES)
    for requests in (*range(1, 9), 19):
        health.failed(0, requests)
        health.succeeded(0)
    assert state_of(health) == "closed"
    health.failed(0, requests=20)
    assert state_of(health) == "open"


def test_just_less_than_its_share_does_not_eject() -> None:
    health = Health(RULES)
    for failures in range(1, 100):
        health.failed(0, requests=199 if failures == 99 else 3 * failures)
        health.succeeded(0)
    assert state_of(health) == "closed"


def test_one_that_comes_back_has_all_its_failures_before_it() -> None:
    for is_checked in (True, False):
        health = ejected(Health(RULES), at=0)
        health.tick(SECOND, requests=3)
        if is_checked:
            health.checked(True, SECOND)
        else:
            health.succeeded(SECOND)
        health.failed(SECOND, requests=30)
        health.failed(SECOND, requests=30)
        assert state_of(health) == "closed"
        health.failed(SECOND, requests=30)
        assert state_of(health) == "open"


def test_one_that_comes_back_has_its_checks_before_it_and_no_failures_behind_it() -> None:
    health = Health(RULES)
    health.checked(False, 0)
    health.checked(False, 0)
    health.tick(SECOND, requests=0)
    health.succeeded(SECOND)
    health.checked(False, SECOND)
    assert state_of(health) == "closed"
    for requests in (*range(1, 9), 19):
        health.failed(SECOND, requests)
        health.succeeded(SECOND)
    assert state_of(health) == "closed"


def test_each_ejection_lasts_twice_as_long_up_to_a_limit() -> None:
    health = ejected(Health(RULES), at=0)
    lasted = []
    at = 0
    for _ in range(4):
        lasted.append(health.until - at)
        health.tick(health.until - 1, requests=3)
        assert state_of(health) == "open"
        at = health.until
        health.tick(at, requests=3)
        assert state_of(health) == "half_open"
        health.failed(at, requests=3)
    assert lasted == [1 * SECOND, 2 * SECOND, 3 * SECOND, 3 * SECOND]


def test_a_success_of_the_trial_closes_and_good_time_is_forgiven() -> None:
    health = ejected(Health(RULES), at=0)
    health.tick(1 * SECOND, requests=3)
    health.succeeded(1 * SECOND)
    assert (state_of(health), health.troubled, health.ejections) == ("closed", False, 1)
    health.tick(2 * SECOND - 1, requests=3)
    assert health.ejections == 1
    health.tick(2 * SECOND, requests=3)
    assert health.ejections == 0


def test_two_bad_checks_eject_and_a_good_one_brings_back_what_served_its_time() -> None:
    health = Health(RULES)
    health.checked(False, 0)
    health.checked(True, 0)
    health.checked(False, 0)
    assert state_of(health) == "closed"
    health.checked(False, 0)
    assert state_of(health) == "open"
    health.checked(True, SECOND // 2)
    assert state_of(health) == "open"
    health.tick(SECOND, requests=0)
    health.checked(True, SECOND)
    assert state_of(health) == "closed"


def test_a_bad_check_ends_the_trial_time() -> None:
    health = ejected(Health(RULES), at=0)
    health.tick(SECOND, requests=3)
    health.checked(False, SECOND)
    assert (state_of(health), health.until) == ("open", 3 * SECOND)


@pytest.mark.parametrize(("asked_s", "rests_s"), [(7, 7), (3600, 60)])
def test_an_upstream_that_asks_for_a_rest_gets_it_within_reason(asked_s: int, rests_s: int) -> None:
    health = Health(RULES)
    health.asked_to_rest(0, asked_s * SECOND)
    assert not health.is_available
    health.tick(rests_s * SECOND - 1, requests=0)
    assert not health.is_available
    health.tick(rests_s * SECOND, requests=0)
    assert health.is_available


def test_no_rest_is_none() -> None:
    health = Health(RULES)
    health.asked_to_rest(0, 0)
    assert health.is_available
    health.asked_to_rest(0, 1)
    assert not health.is_available


def test_it_is_back_when_its_ejection_and_its_rest_are_over() -> None:
    health = ejected(Health(RULES), at=0)
    assert health.back_at == 1 * SECOND
    health.asked_to_rest(0, 7 * SECOND)
    assert health.back_at == 7 * SECOND
    health.tick(1 * SECOND, requests=3)
    assert health.back_at == 7 * SECOND
    health.tick(7 * SECOND, requests=3)
    assert (health.is_available, health.back_at) == (True, 0)
