"""One product for all test processes of a run: the first that needs it starts it, the last that used it ends it.

Each holds the files `users` and `alive` locked while it uses the product. A keeper, `python -m
tests.support.shared_product PLACE`, waits for `alive` and ends what still runs, for test processes that were killed.
"""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from entrepot.adapters.model_files import prepare_smollm2
from tests.support.directory_tokens import new_signing_key, published_keys
from tests.support.product import WORLD, Product, end_process, run_command
from tests.support.tree import PROGRAMS, ROOT

PAST_MONTH = "2024-03"

# Of a month that is over, so that the books have something to post and to invoice at once.
PAST_USAGE = {
    "id": "of-a-month-that-is-over",
    "admitted_at": f"{PAST_MONTH}-05T08:00:00Z",
    "finished_at": f"{PAST_MONTH}-05T08:00:01Z",
    "customer": "globex",
    "project": "shop",
    "deployment": "helper",
    "model": "smollm2-135m",
    "tier": "default",
    "meters": {"input_tokens": 1_000_000, "output_tokens": 500_000},
    "source": "reported",
    "corrects": None,
}
MAKER_KEY = "sk-of-the-maker"


@contextlib.contextmanager
def shared_product(place: Path, models: Path, at_end: Callable[[Product], None]) -> Iterator[Product]:
    """The product of this run. place: the folder its processes share; models: where prepared model files are kept.

    at_end: called with the product by whoever used it last, before it is ended.
    """
    place.mkdir(exist_ok=True)
    with (place / "users").open("a") as users, (place / "alive").open("a") as alive:
        with _alone(place):
            fcntl.flock(users, fcntl.LOCK_SH)
            fcntl.flock(alive, fcntl.LOCK_SH)
            product = _read(place) or _start(place, models)
        try:
            yield product
        finally:
            with _alone(place):
                if _is_last(users):
                    try:
                        at_end(product)
                    finally:
                        _end(place)


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _is_last(users: IO[str]) -> bool:
    """Whether nobody else uses the product; this process does not any more."""
    fcntl.flock(users, fcntl.LOCK_UN)
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(place: Path) -> Product | None:
    try:
        return msgspec.json.decode((place / "product.json").read_bytes(), type=Product)
    except FileNotFoundError:
        return None


def _start(place: Path, models: Path) -> Product:
    home = Path(tempfile.mkdtemp(prefix="home-", dir=place))
    _start_keeper(place)
    signing_key = new_signing_key()
    upstream = _spawn(place, [sys.executable, "-m", "tests.scripted_upstream", "--state", str(home / "upstream.jsonl")])
    world = WORLD.read_text().replace("<UPSTREAM>", upstream["base_url"]).replace("<KEYS>", published_keys(signing_key))
    (home / "world.yaml").write_text(world)
    keys = _declare(home)
    _take_models(home, models)
    addresses = ("--gateway-address", "127.0.0.1:0", "--console-address", "127.0.0.1:0")
    said = _spawn(place, [str(PROGRAMS / "entrepot"), "serve", "--home", str(home), "--json", *addresses])
    product = Product(str(home), said["gateway"], said["console"], keys, signing_key)
    (place / "product.json").write_bytes(msgspec.json.encode(product))
    return product


def _start_keeper(place: Path) -> None:
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.shared_product", place], cwd=ROOT, start_new_session=True
    )
    threading.Thread(target=keeper.wait, daemon=True).start()


def _declare(home: Path) -> dict[str, str]:
    """{project: a key of it} in the world of the tests, applied to the data directory; some usage is imported."""
    run_command(home, "apply", str(home / "world.yaml"))
    (home / "past.jsonl").write_text(json.dumps(PAST_USAGE) + "\n")
    run_command(home, "usage", "import", str(home / "past.jsonl"))
    return {
        project: json.loads(run_command(home, "key", "create", "--project", project, "--json"))["key"]
        for project in ("search", "shop")
    }


def _take_models(home: Path, models: Path) -> None:
    """Puts prepared files where the product looks for them: preparing takes ten seconds, and they are always equal."""
    files = prepare_smollm2(models, print)
    (home / "models").mkdir()
    for file in (files.model, files.vocabulary):
        (home / "models" / file.name).symlink_to(file)


def _spawn(place: Path, command: list[str]) -> Any:
    """The line of JSON that a program says when it is ready; `pids` says that it runs."""
    started = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "MAKER_KEY": MAKER_KEY}, stdout=subprocess.PIPE, start_new_session=True
    )
    with (place / "pids").open("a") as pids:
        pids.write(f"{started.pid}\n")
    assert started.stdout is not None
    line = started.stdout.readline()
    threading.Thread(target=started.communicate, daemon=True).start()  # Reads on, and takes note of its end.
    assert line, f"{command} ended with {started.wait()}"
    return json.loads(line)


def _end(place: Path) -> None:
    """Ends what was started, the last first."""
    (place / "product.json").unlink(missing_ok=True)
    pids = place / "pids"
    running = pids.read_text().split() if pids.exists() else []
    pids.unlink(missing_ok=True)
    for pid in reversed(running):
        end_process(int(pid))


def _keep(place: Path) -> None:
    with (place / "alive").open("a") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        _end(place)


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
