"""The commands on a data directory where nothing runs: what they print, what they change, how they end."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from entrepot.cli.main import main
from entrepot.compose.books import open_log
from entrepot.compose.settings import load_settings
from entrepot.core.log_records import Admitted, InstanceLost, Progressed
from entrepot.core.periods import parse_instant
from tests.support.offices import USAGE, make_month, write_usage, write_world
from tests.support.worlds import SMALL

NOBODY = 65534

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_month(tmp_path_factory.mktemp("month"))


def said(capsys: Captured, *command: str, status: int = 0) -> Any:
    """The one JSON document a command prints, and nothing else."""
    capsys.readouterr()
    assert main([*command, "--json"]) == status
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1
    return json.loads(printed)


def complaint(capsys: Captured, *command: str) -> str:
    """What a command that fails says on stderr; it prints nothing."""
    capsys.readouterr()
    assert main(command) == 1
    heard = capsys.readouterr()
    assert heard.out == ""
    assert "Traceback" not in heard.err
    return heard.err


def test_apply_says_what_changed_and_again_nothing(tmp_path: Path, capsys: Captured) -> None:
    at_home = ("--home", str(tmp_path / "home"))
    world = write_world(tmp_path)
    planned = said(capsys, "apply", world, "--dry-run", *at_home)
    assert planned["dry_run"]
    assert planned["world"] == 0
    assert not (tmp_path / "home" / "log").exists()
    applied = said(capsys, "apply", world, *at_home)
    assert applied["counts"] == planned["counts"] == {"add": 12, "change": 0, "remove": 0}
    assert applied["world"] == 1
    assert said(capsys, "apply", world, *at_home)["changes"] == []
    assert main(["apply", world, *at_home]) == 0
    assert capsys.readouterr().out == "nothing to change; world 1 is applied\n"
    write_world(tmp_path, SMALL.replace("market: US", "market: DE"))
    assert main(["apply", world, "--dry-run", *at_home]) == 0
    assert capsys.readouterr().out == (
        "~ customer acme\n    market: US → DE\n1 changed; a dry run, nothing was changed\n"
    )


def test_apply_names_every_fault_of_a_world(tmp_path: Path, capsys: Captured) -> None:
    world = write_world(tmp_path, SMALL.replace("market: US", "market: us").replace('"30"', '"free"'))
    heard = complaint(capsys, "apply", world, "--home", str(tmp_path / "home"))
    assert re.findall(r"world\.yaml:(\d+): ", heard) == ["15", "20"]
    assert complaint(capsys, "apply", str(tmp_path / "none.yaml")).endswith(
        "cannot be read: No such file or directory\n"
    )


def test_a_key_is_shown_once_and_kept_as_a_hash(tmp_path: Path, capsys: Captured) -> None:
    home = tmp_path / "home"
    at_home = ("--home", str(home))
    main(["apply", write_world(tmp_path), *at_home])
    made = said(capsys, "key", "create", "--project", "search", "--name", "robot", *at_home)
    assert re.fullmatch(r"ek-[0-9A-Za-z]{40}", made["key"])
    rotated = said(capsys, "key", "rotate", made["id"], *at_home)
    assert rotated["replaces"] == made["id"]
    assert rotated["key"] != made["key"]
    keys = {key["id"]: key for key in said(capsys, "key", "list", *at_home)["keys"]}
    assert keys[made["id"]]["revoked_at"]
    assert keys[rotated["id"]]["revoked_at"] is None
    assert said(capsys, "key", "revoke", rotated["id"], *at_home)["revoked_at"]
    assert "revoked already" in complaint(capsys, "key", "revoke", rotated["id"], *at_home)
    for path in home.rglob("*"):
        if path.is_file():
            assert made["key"].encode() not in path.read_bytes(), path


def test_a_month_is_closed_and_its_lines_lead_to_requests(month: Path, capsys: Captured) -> None:
    at_home = ("--home", str(month))
    (invoice,) = said(capsys, "invoice", "list", *at_home)["invoices"]
    assert invoice["total"] == "0.85"
    assert [line["exact"] for line in invoice["lines"]] == ["0.6057", "0.24"]
    shown = said(capsys, "invoice", "show", invoice["number"], *at_home)
    assert shown == invoice
    behind = said(capsys, "invoice", "show", invoice["number"], "--line", "1", "--requests", *at_home)
    assert sorted(request["id"] for request in behind["requests"]) == sorted(f"u{number}" for number in range(20))
    assert not behind["more"]
    few = said(capsys, "invoice", "show", invoice["number"], "--line", "2", "--requests", "--limit", "3", *at_home)
    assert len(few["requests"]) == 3
    assert few["more"]
    assert said(capsys, "invoice", "list", "--customer", "nobody", *at_home) == {"invoices": []}
    assert "there is no invoice 2024-05-000009" in complaint(capsys, "invoice", "show", "2024-05-000009", *at_home)
    assert "lines 1 to 2, not 3" in complaint(capsys, "invoice", "show", invoice["number"], "--line", "3", *at_home)


def test_closing_again_issues_nothing(month: Path, capsys: Captured) -> None:
    closed = said(capsys, "close", "2024-05", "--home", str(month))
    assert closed["issued"] == []
    assert len(closed["invoices"]) == 1


def test_a_month_that_is_not_over_stays_open(month: Path, capsys: Captured) -> None:
    assert "9998-12 ends at 9999-01-01T00:00:00Z" in complaint(capsys, "close", "9998-12", "--home", str(month))
    assert "'May' is not a month such as 2024-03" in complaint(capsys, "close", "May", "--home", str(month))


def test_the_ledger_balances(month: Path, capsys: Captured) -> None:
    shown = said(capsys, "ledger", "show", "--home", str(month))
    assert shown["balanced"]
    assert shown["root"].startswith("sha256:")
    assert {row["account"]: row["balance"] for row in shown["balances"]}["assets:receivable:invoiced:acme"] == "0.85"


def test_the_ledger_reads_well(tmp_path: Path, capsys: Captured) -> None:
    home, usage = ("--home", str(tmp_path / "home")), tmp_path / "much.jsonl"
    usage.write_text(json.dumps({**USAGE[0], "meters": {"input_tokens": 123_456_789_123, "output_tokens": 1}}) + "\n")
    assert main(["apply", write_world(tmp_path), *home]) == 0
    assert main(["usage", "import", str(usage), *home]) == 0
    assert main(["close", "2024-05", *home]) == 0
    capsys.readouterr()
    assert main(["ledger", "show", *home]) == 0
    head, *rows = capsys.readouterr().out.partition("\n\n")[0].splitlines()
    amounts = [row.rpartition("  ")[0] for row in rows]
    assert head.split() == ["account", "balance"]
    assert len({amount.rindex(".") for amount in amounts}) == 1
    assert any(re.search(r" \d,\d{3},\d{3}\.\d\d", amount) for amount in amounts), amounts


def test_a_ledger_without_a_mark_does_not_name_the_first_of_time(month: Path, capsys: Captured) -> None:
    assert main(["ledger", "show", "--home", str(month)]) == 0
    assert "accrued before" not in capsys.readouterr().out


def test_the_books_equal_what_the_log_gives(month: Path, capsys: Captured) -> None:
    verified = said(capsys, "verify", "--home", str(month))
    assert verified["equal"]
    assert verified["faults"] == []
    assert verified["invoices"] == 1


def test_books_that_were_removed_come_back_the_same(tmp_path: Path, capsys: Captured) -> None:
    home = make_month(tmp_path)
    before = said(capsys, "ledger", "show", "--home", str(home))
    for path in home.glob("books.db*"):
        path.unlink()
    assert said(capsys, "ledger", "show", "--home", str(home)) == before


def test_a_bill_from_files_touches_nothing(
    month: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    world, usage = write_world(tmp_path), write_usage(tmp_path)
    bill = said(capsys, "bill", "--world", world, "--usage", usage, "--period", "2024-05")
    (invoice,) = said(capsys, "invoice", "list", "--home", str(month))["invoices"]
    assert [invoice[name] for name in bill["invoices"][0]] == list(bill["invoices"][0].values())
    assert [item["id"] for item in bill["quarantine"]] == ["odd"]
    assert bill["settlements"] == []
    assert bill["ledger"]["balanced"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["usage.jsonl", "world.yaml"]


def test_a_bill_says_which_rows_it_could_not_use(tmp_path: Path, capsys: Captured) -> None:
    usage = Path(write_usage(tmp_path))
    usage.write_text(usage.read_text() + '{"id": "half"}\n')
    assert main(["bill", "--world", write_world(tmp_path), "--usage", str(usage), "--period", "2024-05"]) == 1
    heard = capsys.readouterr()
    assert "total 0.85 USD" in heard.out
    assert f"{usage}:22: " in heard.err


def test_doctor_says_where_settings_came_from(month: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("ENTREPOT_GATEWAY_ADDRESS", "127.0.0.1:0")
    monkeypatch.setenv("ENTREPOT_CONSOLE_ADDRESS", "127.0.0.1:0")
    monkeypatch.setenv("ENTREPOT_ADMIN_TOKEN", "hush-hush")
    found = said(capsys, "doctor", "--home", str(month))
    assert found["settings"]["home"] == {"value": str(month), "source": "--home"}
    assert found["settings"]["gateway_address"]["source"] == "ENTREPOT_GATEWAY_ADDRESS"
    assert "hush-hush" not in json.dumps(found)
    states = {item["name"]: item["state"] for item in found["findings"]}
    assert states["log"] == states["books"] == states["snapshot"] == "good"
    assert states["upstream"] == "warn"


def test_doctor_counts_one_thing_as_one(tmp_path: Path, capsys: Captured) -> None:
    at_home = ("--home", str(tmp_path / "home"))
    main(["apply", write_world(tmp_path), *at_home])
    main(["key", "create", "--project", "search", *at_home])
    capsys.readouterr()
    assert main(["doctor", *at_home, "--json"]) in {0, 1}
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [item["detail"].partition(": ")[2] for item in findings if item["name"] == "snapshot"] == [
        "2 deployments, 1 key"
    ]


def test_doctor_fails_when_something_is_broken(tmp_path: Path, capsys: Captured) -> None:
    home = make_month(tmp_path)
    segment = next((home / "log").glob("00000001.seg"))
    content = bytearray(segment.read_bytes())
    content[200] ^= 1
    segment.write_bytes(content)
    found = said(capsys, "doctor", "--home", str(home), status=1)
    (log,) = [item for item in found["findings"] if item["name"] == "log"]
    assert log["state"] == "bad"
    assert "00000001.seg" in log["detail"]


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["no-such-command"],
        ["apply"],
        ["key", "create"],
        ["serve", "--only", "everything"],
        ["invoice", "show", "2024-05-000001", "--requests"],
        ["bill", "--period", "2024-05"],
    ],
    ids=" ".join,
)
def test_bad_usage_ends_with_2(command: list[str], capsys: Captured) -> None:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 2
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.startswith("usage: entrepot")


def test_a_wrong_setting_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("ENTREPOT_GATEWAY_WORKERS", "many")
    assert complaint(capsys, "key", "list") == (
        "entrepot: gateway_workers 'many' (from ENTREPOT_GATEWAY_WORKERS) must be a whole number of at least 1\n"
    )


def test_a_reader_that_goes_away_ends_the_command_quietly(month: Path) -> None:
    words = ["invoice", "show", "2024-05-000001", "--line", "1", "--requests", "--home", str(month)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run([sys.executable, "-m", "entrepot", *words], stdout=out, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_home_of_a_user_who_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    why = "begins with the home directory of a user who has none here"
    assert complaint(capsys, "key", "list", "--home", "~no-such-user/var") == (
        f"entrepot: home '~no-such-user/var' (from --home) {why}\n"
    )
    monkeypatch.setenv("ENTREPOT_CONFIG", "~no-such-user/entrepot.toml")
    assert complaint(capsys, "key", "list") == f"entrepot: ENTREPOT_CONFIG '~no-such-user/entrepot.toml' {why}\n"


def test_a_closed_stdout_is_no_fault_and_no_file_takes_its_place(month: Path) -> None:
    books = month / "books.db"
    words = [sys.executable, "-m", "entrepot", "invoice", "list", "--home", str(month)]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *words], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert books.read_bytes().startswith(b"SQLite format 3\0")


def test_letters_that_the_locale_lacks_are_one_line(tmp_path: Path) -> None:
    main(["apply", write_world(tmp_path), "--home", str(tmp_path / "home")])
    words = [sys.executable, "-m", "entrepot", "key", "create", "--project", "search", "--name", "käy"]
    done = subprocess.run(
        [*words, "--home", str(tmp_path / "home")],
        env=os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == ("entrepot: this locale lacks letters that are needed here; set LC_ALL=C.UTF-8 and retry\n")


def test_a_home_that_others_own_is_told_as_one(capsys: Captured) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = make_month(Path(folder))
        main(["doctor", "--home", str(home)])  # So that another user need not be able to read our modules.
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with as_somebody_else():
            found = said(capsys, "doctor", "--home", str(home), status=1)
            (disk,) = [item for item in found["findings"] if item["name"] == "disk"]
            assert disk["state"] == "bad"
            assert "cannot be written by this user" in disk["detail"]
            assert "let this user write and retry" in complaint(capsys, "usage", "list", "--home", str(home))
        for path in Path(folder).rglob("*"):
            path.chmod(0o755)


def test_a_home_that_is_closed_to_this_user_is_told_as_one(capsys: Captured) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir(mode=0)
        main(["doctor", "--home", str(home)])  # So that another user need not be able to read our modules.
        capsys.readouterr()
        with as_somebody_else():
            found = said(capsys, "doctor", "--home", str(home), status=1)
        assert [item["name"] for item in found["findings"]] == ["python", "processor", "disk"]
        assert found["findings"][2]["detail"].endswith("run this as its owner")


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may write everywhere, so root is somebody else here; everyone else stays who they are."""
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def admitted(request_id: str) -> Admitted:
    """A request of May 2024 without an end."""
    return Admitted(
        id=request_id,
        at=parse_instant("2024-05-20T10:00:00Z"),
        instance="lost",
        customer="acme",
        project="search",
        deployment="chat",
        model="gpt-4",
        tier="default",
        upstream="east",
        key="key_1",
        prompt_tokens_estimate=100,
    )


def test_an_open_request_keeps_its_month_open_and_is_named(tmp_path: Path, capsys: Captured) -> None:
    home = tmp_path / "home"
    main(["apply", write_world(tmp_path), "--home", str(home)])
    with open_log(load_settings({}, {"home": str(home)})) as log:
        log.append([admitted("r1"), admitted("r2")])
    heard = complaint(capsys, "close", "2024-05", "--home", str(home))
    assert "still unresolved" in heard
    assert "(open: r1 of 2024-05-20T10:00:00Z, r2 of 2024-05-20T10:00:00Z)" in heard
    assert said(capsys, "invoice", "list", "--home", str(home)) == {"invoices": []}


def test_what_a_lost_gateway_left_is_resolved_before_its_month_is_closed(tmp_path: Path, capsys: Captured) -> None:
    home = tmp_path / "home"
    main(["apply", write_world(tmp_path), "--home", str(home)])
    request = admitted("r1")
    with open_log(load_settings({}, {"home": str(home)})) as log:
        log.append([request, Progressed("r1", request.at, 40), InstanceLost("lost", request.at + 1)])
    closed = said(capsys, "close", "2024-05", "--home", str(home))
    (invoice,) = closed["invoices"]
    assert [(line["meter"], line["quantity"]) for line in invoice["lines"]] == [
        ("input_tokens", "100"),
        ("output_tokens", "40"),
    ]
    behind = said(capsys, "invoice", "show", invoice["number"], "--line", "1", "--requests", "--home", str(home))
    assert [(item["id"], item["source"], item["outcome"]) for item in behind["requests"]] == [
        ("r1", "estimated", "gateway_lost")
    ]
