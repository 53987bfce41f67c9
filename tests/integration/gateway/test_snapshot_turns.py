"""A new snapshot is taken up in small steps: between them requests are served by the old one, and then by the new."""

import asyncio
import gc
from pathlib import Path

import msgspec
import pytest

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose import gateway as process
from entrepot.compose.gateway import SnapshotFollower
from entrepot.core.identifiers import key_digest
from entrepot.core.snapshot import GatewaySnapshot, ServedKey
from entrepot.core.upstream_rules import HealthRules, PoolRules, UpstreamRules
from tests.support.gateway import KEY, Gateway, deployment, eventually, running_gateway, snapshot, target
from tests.support.requests import ask, chat

OTHER_KEY = "ek-another-key-for-the-same-project"


def large(gateway: Gateway, name: str, key: str) -> GatewaySnapshot:
    """One with a deployment, 1,000 keys of others, and the key."""
    keys = {f"{number:064x}": ServedKey(f"other-{number}", "search") for number in range(1000)}
    served = snapshot(deployment(name, target(gateway.upstream.base_url)))
    return msgspec.structs.replace(served, keys={**keys, key_digest(key): ServedKey("key-2", "search")})


def statuses(gateway: Gateway) -> list[int]:
    """Of requests for the old and for the new deployment, with the old key and with the new one."""
    asked = [(key, model) for key in (KEY, OTHER_KEY) for model in ("old", "new")]
    return [ask(gateway, chat("hi", model=model), headers={"api-key": key}).status for key, model in asked]


def test_every_request_sees_one_snapshot_whole() -> None:
    with running_gateway(published=False) as gateway:
        gateway.adopt(large(gateway, "old", KEY))
        seen = []
        steps = gateway.flow.adopting(large(gateway, "new", OTHER_KEY))

        async def step() -> bool:
            return next(steps, "over") is None

        while gateway.run(step()):
            seen.append(statuses(gateway))
        seen.append(statuses(gateway))
        before, after = [200, 404, 401, 401], [401, 401, 404, 200]
        changed = seen.index(after)
        assert changed > 0
        assert seen == [before] * changed + [after] * (len(seen) - changed)
        assert len(seen) - changed > 10  # The keys of the old one went little by little.


def test_other_work_is_done_between_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no time for a turn each step is one: no more than a hundred keys are read, or let go of, in each."""
    monkeypatch.setattr(process, "TURN_S", 0)
    path = tmp_path / "snapshot.json"
    with running_gateway(published=False) as gateway:
        follower = SnapshotFollower(path, gateway.flow, "")
        FileSnapshots(path).publish(large(gateway, "old", KEY))
        gateway.do(follower.look)
        FileSnapshots(path).publish(large(gateway, "new", OTHER_KEY))

        async def turns() -> int:
            following = asyncio.ensure_future(follower.look_in_turns())
            count = 0
            while not following.done():
                await asyncio.sleep(0)
                count += 1
            return count

        assert gateway.run(turns()) > 1001 // 100 + 2 * 1001 // 100
        assert statuses(gateway) == [401, 401, 404, 200]


def test_each_upstream_is_made_ready_in_a_step_of_its_own() -> None:
    with running_gateway(published=False) as gateway:

        def steps(places: int) -> int:
            served = [deployment(f"at-{at}", target(f"http://127.0.0.1:1/v{at % places}")) for at in range(50)]
            return len(list(gateway.flow.adopting(snapshot(*served))))

        def count(places: int) -> int:
            async def counted() -> int:
                return steps(places)

            return gateway.run(counted())

        one, fifty = count(1), count(50)
        assert fifty - one >= 2 * 49  # One for where it is, and one for its pool.
        assert len(gateway.flow.ways.places) == 50


def test_an_upstream_that_fails_at_any_of_the_steps_is_asked_no_more() -> None:
    with running_gateway(published=False) as gateway:
        to = tuple(target(f"http://127.0.0.1:1/{name}", name) for name in ("one", "two"))
        chat_and_more = [deployment("chat", *to), deployment("more", *to, routing=PoolRules(retries=0))]
        ejecting = UpstreamRules(health=HealthRules(failures=1))
        served = snapshot(*chat_and_more, upstreams={"one": ejecting, "two": ejecting})

        async def asked(at: int) -> list[set[tuple[str, ...]]]:
            """In which order, by each deployment, after the first upstream has failed at this step."""
            flow = gateway.flow
            for number, _ in enumerate(flow.adopting(served)):
                if number == at:
                    flow.ways.fleet.failed(flow.ways.fleet.endpoints["one", "http://127.0.0.1:1/one"], 0)
            pools = [flow.ways.pool("search", item) for item in chat_and_more]
            return [{tuple(way.upstream for way in pool.order()) for _ in range(4)} for pool in pools]

        async def recover() -> None:
            fleet = gateway.flow.ways.fleet
            fleet.tick(10**15)
            fleet.succeeded(fleet.endpoints["one", "http://127.0.0.1:1/one"], 10**15)

        both = {("one", "two"), ("two", "one")}
        gateway.adopt(served)
        steps = 0
        while (found := gateway.run(asked(steps))) != [both, both]:
            assert found == [{("two",)}, {("two",)}]
            gateway.run(recover())
            steps += 1
        assert steps > 4


def test_what_came_is_kept_from_the_collector(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    with running_gateway(published=False) as gateway:
        follower = SnapshotFollower(path, gateway.flow, "")
        before = gc.get_freeze_count()

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(follower.follow())

        FileSnapshots(path).publish(large(gateway, "new", KEY))
        following = gateway.run(begin())
        try:
            eventually(lambda: gc.get_freeze_count() > before)
        finally:
            gateway.loop.call_soon_threadsafe(following.cancel)
            gc.unfreeze()


def test_one_that_is_damaged_at_its_end_is_refused_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "snapshot.json"
    with running_gateway(published=False) as gateway:
        follower = SnapshotFollower(path, gateway.flow, "")
        FileSnapshots(path).publish(large(gateway, "old", KEY))
        gateway.run(follower.look_in_turns())
        FileSnapshots(path).publish(large(gateway, "new", OTHER_KEY))
        path.write_bytes(path.read_bytes()[:-9])
        gateway.run(follower.look_in_turns())
        assert "snapshot_refused" in caplog.text
        assert statuses(gateway) == [200, 404, 401, 401]
