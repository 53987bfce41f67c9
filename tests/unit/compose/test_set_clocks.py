"""A machine's clock that is set back: what the processes that time limits by it do."""

import asyncio

import pytest

from entrepot.adapters.clocks import SystemClock
from entrepot.compose import gateway
from entrepot.compose.gateway import _mind_the_clock
from entrepot.compose.set_clocks import SetBack
from entrepot.core.periods import DAY, HOUR, MINUTE, SECOND, SET_BACK_US, Instant


def ahead(clock: SystemClock) -> Instant:
    """How far the clock is from the machine's own, to the minute; a slow test takes less."""
    return round((clock.now() - SystemClock().now()) / MINUTE) * MINUTE


def test_the_clock_goes_on_as_if_it_had_not_been_set_back() -> None:
    clock = SystemClock()
    watched = SetBack(clock)
    assert watched.look() == 0
    clock.go_ahead(-HOUR)  # As when the machine's is set back.
    assert HOUR - SECOND < watched.look() <= HOUR + SECOND
    assert ahead(clock) == 0
    assert watched.look() == 0
    clock.go_ahead(-DAY)
    assert DAY - SECOND < watched.look() <= DAY + SECOND
    assert ahead(clock) == 0


def test_a_clock_that_is_put_forward_is_followed_and_one_that_was_set_back_is_right_again_then() -> None:
    clock = SystemClock()
    watched = SetBack(clock)
    clock.go_ahead(DAY)
    assert watched.look() == 0
    assert ahead(clock) == DAY
    clock.go_ahead(-HOUR)
    assert watched.look() > 0
    clock.go_ahead(HOUR)
    assert watched.look() == 0
    assert ahead(clock) == DAY


def test_a_clock_that_is_corrected_by_a_little_is_followed() -> None:
    clock = SystemClock()
    watched = SetBack(clock)
    clock.go_ahead(SECOND - SET_BACK_US)
    assert watched.look() == 0
    assert clock.now() < SystemClock().now()


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_gateway_whose_clock_was_set_back_says_so_and_ends_where_nobody_replaces_it(
    is_replaced: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gateway, "REPLACED_S_MAX", 0.0)

    async def work() -> bool:
        stopping, replaced = asyncio.Event(), asyncio.Event()
        clock = SystemClock()
        minding = asyncio.create_task(_mind_the_clock(SetBack(clock), stopping, replaced))
        await asyncio.sleep(0)
        assert "outgrown" not in capsys.readouterr().out
        clock.go_ahead(-HOUR)
        if is_replaced:
            replaced.set()
        said = ""
        for _ in range(6000):
            said += capsys.readouterr().out
            if "outgrown" in said:
                break
            await asyncio.sleep(0.01)
        assert "outgrown" in said
        for _ in range(3):
            await asyncio.sleep(0)
        minding.cancel()
        return stopping.is_set()

    assert asyncio.run(work()) is not is_replaced
