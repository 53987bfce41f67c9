"""The openai library's own API tests against a gateway: how many pass, by resource.

    python -m tests.openai_library.run [--keep] [pytest's arguments]

The tests come out of the library's source archive, of the version and with the hash of requirements/test.txt; they
are unpacked below build/ and nothing of them is committed. The gateway stands between them and the scripted upstream,
with the real jobs process beside it. Fails when fewer pass than counts.json says; --keep writes counts.json anew.
"""

import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from entrepot.adapters.snapshot_file import FileSnapshots
from entrepot.compose.settings import Settings, load_settings
from entrepot.compose.tokens import internal_token
from entrepot.core.identifiers import key_digest
from entrepot.core.periods import END_OF_TIME
from entrepot.core.snapshot import SCHEMA, GatewaySnapshot, ServedKey, ServedProject
from entrepot.flows.forward_jobs import ForwardJobs
from tests.openai_library.resources import ABSENT, DEPLOYMENTS, KEY, RESOURCES, STORED_RESPONSES
from tests.support.gateway import Gateway, deployment, running_gateway, target
from tests.support.tree import ROOT

HERE = Path(__file__).parent
BUILD = ROOT / "build" / "openai-library"
COUNTS = HERE / "counts.json"
_PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")


_LOCK = re.compile(r"^openai==(\S+)(?: ; [^\\\n]*)? \\\n(?:    --hash=\S+(?: \\)?\n)+", re.MULTILINE)
_OTHERS = ("OPENAI_", "AZURE_", "PYTEST", "ENTREPOT_")


class Count(NamedTuple):
    """The tests of a resource."""

    passed: int
    failed: int


def main(arguments: Sequence[str]) -> int:
    """The exit status."""
    tests = fetched()
    given = [word for word in arguments if word != "--keep"]
    with ExitStack() as open_things:
        gateway = open_things.enter_context(running_gateway(published=False))
        home = open_things.enter_context(tempfile.TemporaryDirectory())
        jobs = open_things.enter_context(served(gateway, home))
        report = run(tests, f"{gateway.url}/v1", jobs, given)
    counts = read(report)
    least: dict[str, int] = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    for name, count in counts.items():
        print(f"{name:26} {count.passed:4} pass {count.failed:4} fail   (at least {least.get(name, 0)})")
    passed, failed = (sum(numbers) for numbers in zip(*counts.values(), strict=True))
    print(f"{'together':26} {passed:4} pass {failed:4} fail")
    print(f"speech: its tests answer themselves. Not run, for there is no such thing here: {', '.join(absent(tests))}")
    if "--keep" in arguments:
        COUNTS.write_text(json.dumps({name: count.passed for name, count in counts.items()}, indent=2) + "\n")
        return 0
    worse = [name for name, count in counts.items() if count.passed < least.get(name, 0)]
    if worse:
        print(f"fewer pass than before: {', '.join(worse)}; see {report}", file=sys.stderr)
    return 1 if worse else 0


def fetched() -> Path:
    """The library's tests, unpacked; fetched when they are not there."""
    lock = _LOCK.search((ROOT / "requirements" / "test.txt").read_text())
    assert lock is not None, "requirements/test.txt does not name the openai library"
    tests = BUILD / f"openai-{lock[1]}"
    if tests.exists():
        return tests
    BUILD.mkdir(parents=True, exist_ok=True)
    site = BUILD / "site"
    subprocess.run(
        [*_PIP, "install", "--require-hashes", "--no-deps", "--upgrade", "--target", str(site),
         "-r", str(ROOT / "requirements/openai-library.txt")],
        check=True,
    )  # fmt: skip
    wanted = BUILD / "openai.txt"
    wanted.write_text(lock[0])
    # What builds the archive is asked for its metadata; it is in `site`, as locked.
    subprocess.run(
        [*_PIP, "download", "--require-hashes", "--no-deps", "--no-binary", "openai", "--no-build-isolation",
         "-r", str(wanted), "--dest", str(BUILD)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(site)},
    )  # fmt: skip
    with tarfile.open(BUILD / f"openai-{lock[1]}.tar.gz") as archive:
        archive.extractall(BUILD, filter="data")
    return tests


@contextmanager
def served(gateway: Gateway, home: str) -> Iterator[Path]:
    """The file of the jobs process beside the gateway, both serving what the tests name."""
    settings = load_settings({}, {"home": home})
    snapshot = published(gateway)
    FileSnapshots(settings.snapshot_file).publish(snapshot)
    with jobs_process(settings):
        gateway.do(lambda: put_jobs(gateway, settings))
        gateway.adopt(snapshot)
        gateway.upstream.responses.lasting = {name: stored_response(name) for name in STORED_RESPONSES}
        yield settings.jobs_file


def stored_response(name: str) -> dict[str, Any]:
    """A response that the project has stored; one that can still be cancelled."""
    about = {"object": "response", "created_at": 1, "model": "gpt-6-astra", "status": "completed", "background": True}
    rest = {"output": [], "tools": [], "tool_choice": "auto", "parallel_tool_calls": True}
    return {"id": name, "metadata": {"entrepot_project": "search"}} | about | rest


def put_jobs(gateway: Gateway, settings: Settings) -> None:
    """Makes the gateway hand files and batches to the jobs process."""
    gateway.api._jobs = ForwardJobs(gateway.pool, str(settings.jobs_socket), internal_token(settings))


def published(gateway: Gateway) -> GatewaySnapshot:
    """A project with a deployment of each name, for the key that the tests show."""
    found = {
        name: deployment(
            name, target(gateway.upstream.base_url), operations=operations, tiers={"batch": ((0, END_OF_TIME),)}
        )
        for name, operations in DEPLOYMENTS.items()
    }
    return GatewaySnapshot(
        schema=SCHEMA,
        version=1,
        published_at="2024-03-05T08:00:00Z",
        projects={"search": ServedProject("search", "acme", found)},
        keys={key_digest(KEY): ServedKey("key-1", "search")},
        identity_providers=(),
        principals={},
    )


@contextmanager
def jobs_process(settings: Settings) -> Iterator[None]:
    """The jobs process, serving."""
    process = subprocess.Popen(
        [sys.executable, "-m", "entrepot.compose.jobs"],
        env={**os.environ, "ENTREPOT_HOME": str(settings.home)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "the jobs process ended"
        yield
    finally:
        process.terminate()
        process.wait(60)


def run(tests: Path, base_url: str, jobs: Path, arguments: Sequence[str]) -> Path:
    """pytest's report of the library's tests."""
    report = BUILD / "report.xml"
    report.unlink(missing_ok=True)  # That of an earlier run says nothing of this one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OTHERS)}
    environment |= {
        "TEST_API_BASE_URL": base_url,
        "ENTREPOT_LIBRARY_TESTS_JOBS": str(jobs),
        "ENTREPOT_LIBRARY_TESTS_ABSENT": json.dumps(ABSENT),
        "PYTHONPATH": os.pathsep.join((str(HERE), str(BUILD / "site"))),
    }
    files = [f"tests/api_resources/{name}" for name in RESOURCES.values()]
    plain = (
        "-q",
        "-p",
        "no:cacheprovider",
        "-o",
        "addopts=",
        "--tb=line",
        "--no-header",
        "--no-summary",
        "-n2",
        "--dist=loadfile",
    )
    told = ("-p", "library_tests", f"--junitxml={report}", "-o", "junit_family=xunit1")
    subprocess.run([sys.executable, "-m", "pytest", *plain, *told, *arguments, *files], cwd=tests, env=environment)
    return report


def read(report: Path) -> dict[str, Count]:
    """The counts of a report, by resource."""
    names = {f"tests/api_resources/{path}": name for name, path in RESOURCES.items()}
    passed: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for case in ET.parse(report).iter("testcase"):
        name = names[case.attrib["file"]]
        if any(child.tag in {"failure", "error"} for child in case):
            failed[name] += 1
        elif case.find("skipped") is None:
            passed[name] += 1
    return {name: Count(passed[name], failed[name]) for name in RESOURCES if passed[name] or failed[name]}


def absent(tests: Path) -> list[str]:
    """What the library tests and does not exist here: parts of resources, then folders and files."""
    folder = tests / "tests" / "api_resources"
    files = {path.relative_to(folder) for path in folder.rglob("test_*.py")} - {
        Path(path) for path in RESOURCES.values()
    }
    return [*ABSENT, *sorted({path.parts[0].removeprefix("test_").removesuffix(".py") for path in files})]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
