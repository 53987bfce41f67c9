"""`entrepot backup` and `restore` where nothing runs: what is kept, what comes back, what is refused and why."""

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from entrepot.adapters.backup_directory import BackupDirectory
from entrepot.adapters.job_store import SqliteJobStore
from entrepot.adapters.local_disk import LocalDisk
from entrepot.adapters.notices import NoticeFile
from entrepot.cli.main import main
from entrepot.compose import backups
from entrepot.compose.settings import load_settings
from entrepot.compose.tokens import admin_token, installation, internal_token
from entrepot.core.jobs import StoredFile
from entrepot.core.notices import Notice
from tests.support.offices import make_month

Captured = pytest.CaptureFixture[str]
Damage = Callable[[Path], object]

TOLD = [Notice("n1", "budget", "webhook", "http://127.0.0.1/", "subject", "{}", is_sent=True)]
CONTENT = b'{"custom_id": "a"}\n'


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a closed month, a job store, notices and secrets."""
    home = make_month(tmp_path_factory.mktemp("month"))
    settings = load_settings({}, {"home": str(home)})
    with closing(SqliteJobStore(settings.jobs_file)) as store:
        store.save_file("search", StoredFile("file-1", len(CONTENT), 1, "in.jsonl", "batch"), CONTENT)
    NoticeFile(settings.notices_file).save(TOLD)
    for made in (admin_token, internal_token, installation):
        assert made(settings)
    return home


@pytest.fixture
def home(month: Path, tmp_path: Path) -> Path:
    """One that a test may alter."""
    return shutil.copytree(month, tmp_path / "home")


def said(capsys: Captured, *command: object) -> Any:
    capsys.readouterr()
    assert main([*map(str, command), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def complaint(capsys: Captured, *command: object) -> str:
    capsys.readouterr()
    assert main([str(word) for word in command]) == 1
    heard = capsys.readouterr()
    assert heard.out == ""
    assert heard.err.count("\n") == 1
    return heard.err


def files_of(directory: Path) -> dict[str, bytes]:
    """What a backup has, but for who writes it."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def use_more(home: Path, folder: Path, *ids: str) -> None:
    """More usage of June."""
    rows = [
        {
            "id": name,
            "admitted_at": "2024-06-03T08:00:00Z",
            "customer": "acme",
            "project": "search",
            "deployment": "chat",
            "model": "gpt-4",
            "meters": {"input_tokens": 1000, "output_tokens": 20},
        }
        for name in ids
    ]
    (folder / "more.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["usage", "import", str(folder / "more.jsonl"), "--home", str(home)]) == 0


def test_a_restored_home_says_the_same(month: Path, tmp_path: Path, capsys: Captured) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    kept = said(capsys, "backup", backup, "--home", month)
    assert kept["files"] == ["jobs.db", "notices.json"]
    restored = said(capsys, "restore", backup, "--home", fresh)
    assert restored["log"] == kept["log"]
    assert restored["closed"] == ["2024-05"]
    for command in (("verify",), ("invoice", "list"), ("ledger", "show"), ("usage", "list"), ("key", "list")):
        before, after = (said(capsys, *command, "--home", place) for place in (month, fresh))
        for told in (before, after):
            told.pop("seconds", None)
        assert before == after, command
    assert said(capsys, "verify", "--home", fresh)["log"]["seal"] == kept["log"]["seal"]


def test_jobs_and_notices_come_back_and_secrets_do_not(month: Path, tmp_path: Path, capsys: Captured) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    said(capsys, "backup", backup, "--home", month)
    said(capsys, "restore", backup, "--home", fresh)
    settings = load_settings({}, {"home": str(fresh)})
    with closing(SqliteJobStore(settings.jobs_file)) as store:
        assert store.content("search", "file-1") == CONTENT
    assert NoticeFile(settings.notices_file).load() == TOLD
    assert sorted(path.name for path in fresh.iterdir() if path.is_file()) == ["jobs.db", "notices.json"]
    old = load_settings({}, {"home": str(month)})
    contents = files_of(backup)
    for made in (admin_token, internal_token, installation):
        assert made(settings) != made(old)
        assert not any(made(old).encode() in content for content in contents.values())
    for path in (*fresh.rglob("*"), *backup.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_jobs_are_copied_while_they_are_written(home: Path, tmp_path: Path, capsys: Captured) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    settings = load_settings({}, {"home": str(home)})
    with closing(SqliteJobStore(settings.jobs_file)) as store:
        store.save_file("search", StoredFile("file-2", 4, 2, "new.jsonl", "batch"), b"new\n")
        with closing(sqlite3.connect(settings.jobs_file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("DELETE FROM file")
            said(capsys, "backup", backup, "--home", home)
            other.execute("COMMIT")
    said(capsys, "restore", backup, "--home", fresh)
    with closing(SqliteJobStore(fresh / "jobs.db")) as store:
        assert [file.id for file in store.files("search")] == ["file-2", "file-1"]


def test_again_only_what_is_new_is_copied(home: Path, tmp_path: Path, capsys: Captured) -> None:
    backup = tmp_path / "backup"
    first = said(capsys, "backup", backup, "--home", home)
    assert first["new_bytes"] == first["log"]["size_bytes"]
    assert said(capsys, "backup", backup, "--home", home)["new_bytes"] == 0
    before = {path: path.stat().st_ino for path in (backup / "log").iterdir()}
    use_more(home, tmp_path, "v1", "v2")
    NoticeFile(home / "notices.json").save([])
    again = said(capsys, "backup", backup, "--home", home)
    assert again["new_bytes"] == again["log"]["size_bytes"] - first["log"]["size_bytes"] > 0
    assert {path: path.stat().st_ino for path in before} == before
    assert sum(path.name.startswith("notices.json-") for path in backup.iterdir()) == 1
    assert said(capsys, "restore", backup, "--dry-run")["log"] == again["log"]


def test_late_usage_is_imported_again_after_a_restore(home: Path, tmp_path: Path, capsys: Captured) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    use_more(home, tmp_path, "v1", "v2")
    said(capsys, "backup", backup, "--home", home)
    use_more(home, tmp_path, "v1", "v2", "v3")
    said(capsys, "restore", backup, "--home", fresh)
    use_more(fresh, tmp_path, "v1", "v2", "v3")
    assert said(capsys, "usage", "list", "--home", fresh) == said(capsys, "usage", "list", "--home", home)


def test_two_that_went_on_from_one_backup_are_not_mixed(home: Path, tmp_path: Path, capsys: Captured) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    said(capsys, "backup", backup, "--home", home)
    said(capsys, "restore", backup, "--home", fresh)
    use_more(home, tmp_path, "v1")
    use_more(fresh, tmp_path, "w1")
    taken = said(capsys, "backup", backup, "--home", fresh)
    contents = files_of(backup)
    heard = complaint(capsys, "backup", backup, "--home", home)
    assert heard.startswith(f"entrepot: {backup}: the copy has ")
    assert "an older copy was restored in place of; back up into another directory" in heard
    assert files_of(backup) == contents
    assert said(capsys, "restore", backup, "--dry-run")["log"] == taken["log"]
    assert said(capsys, "backup", tmp_path / "other", "--home", home)["new_bytes"] > 0


def test_after_a_power_cut_the_log_process_comes_first(home: Path, tmp_path: Path, capsys: Captured) -> None:
    """What says how far the log is durable is not flushed, so a power cut leaves an older one."""
    backup, durable = tmp_path / "backup", home / "log" / "durable"
    before = durable.read_bytes()
    use_more(home, tmp_path, "one")
    said(capsys, "backup", backup, "--home", home)
    had = files_of(backup)
    for left in (b"", before):
        durable.write_bytes(left)
        heard = complaint(capsys, "backup", backup, "--home", home)
        assert "start `entrepot serve`" in heard
        assert heard.endswith("back up again\n")
        assert files_of(backup) == had
    use_more(home, tmp_path, "two")  # As every command does that writes to the log while nothing runs.
    assert said(capsys, "backup", backup, "--home", home)["new_bytes"] > 0


def test_what_is_no_backup_is_left_alone(month: Path, tmp_path: Path, capsys: Captured) -> None:
    contents = files_of(month)
    heard = complaint(capsys, "backup", month, "--home", month)
    assert "and no backup.json; back up into a new directory" in heard
    assert files_of(month) == contents
    assert not (month / "lock").exists()
    (tmp_path / "mine").write_text("mine")
    assert "Not a directory" in complaint(capsys, "backup", tmp_path / "mine", "--home", month)
    assert f"no usage log in {tmp_path / 'none'}" in complaint(
        capsys, "backup", tmp_path / "b", "--home", tmp_path / "none"
    )
    assert "it has no backup.json" in complaint(capsys, "restore", tmp_path, "--home", tmp_path / "fresh")
    assert "it has no backup.json" in complaint(capsys, "restore", tmp_path / "none", "--dry-run")


def test_a_home_with_something_in_it_is_left_alone(month: Path, tmp_path: Path, capsys: Captured) -> None:
    said(capsys, "backup", tmp_path / "backup", "--home", month)
    contents = files_of(month)
    heard = complaint(capsys, "restore", tmp_path / "backup", "--home", month)
    assert f"{month} has admin_token, books.db, " in heard
    assert "restore into a new or empty directory" in heard
    assert files_of(month) == contents
    (tmp_path / "empty").mkdir()
    assert said(capsys, "restore", tmp_path / "backup", "--home", tmp_path / "empty")


def alter(pattern: str, at: int = 100) -> Damage:
    def damage(backup: Path) -> None:
        path = next(iter(sorted(backup.glob(pattern))))
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)

    return damage


def say(old: bytes, new: bytes) -> Damage:
    def damage(backup: Path) -> None:
        path = backup / "backup.json"
        assert old in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(old, new))

    return damage


DAMAGES: dict[str, tuple[Damage, str]] = {
    "segment": (alter("log/00000001.seg"), "00000001.seg: the record at offset "),
    "header": (alter("log/00000002.seg", 30), "00000002.seg: the header at offset 0 is damaged"),
    "segment missing": (lambda at: (at / "log" / "00000002.seg").unlink(), "00000002.seg: the file is missing"),
    "segment short": (lambda at: os.truncate(at / "log" / "00000003.seg", 80), "00000003.seg: "),
    "log missing": (lambda at: shutil.rmtree(at / "log"), ".seg: the file is missing"),
    "jobs": (alter("jobs.db-*"), "is damaged or missing"),
    "notices missing": (lambda at: next(at.glob("notices.json-*")).unlink(), "is damaged or missing"),
    "no JSON": (alter("backup.json", 0), "backup.json is damaged"),
    "another seal": (say(b'"seal": "', b'"seal": "0'), "is not the one that backup.json describes"),
    "newer": (say(b'"format": 1', b'"format": 2'), "is in format 2, this program reads 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_backup_is_told_and_not_restored(month: Path, tmp_path: Path, capsys: Captured, damage: str) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    said(capsys, "backup", backup, "--home", month)
    said(capsys, "restore", backup, "--dry-run")
    do, why = DAMAGES[damage]
    do(backup)
    for words in (("--home", fresh), ("--dry-run",)):
        heard = complaint(capsys, "restore", backup, *words)
        assert str(backup) in heard
        assert why in heard
    assert not fresh.exists() or not list(fresh.iterdir())


def test_no_room_leaves_the_backup_as_it_was(home: Path, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert main(["backup", str(backup), "--home", str(home)]) == 0
    before = json.loads((backup / "backup.json").read_text())
    use_more(home, tmp_path, *(f"v{number}" for number in range(60)))

    def limited(*words: object) -> str:
        """What a command says that may write no file beyond eight kilobytes."""
        done = subprocess.run(
            [sys.executable, "-m", "entrepot", *map(str, words)],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, 8_000)),
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        return done.stderr

    assert "File too large; a previous backup is unchanged" in limited("backup", backup, "--home", home)
    assert json.loads((backup / "backup.json").read_text()) == before
    assert main(["restore", str(backup), "--dry-run"]) == 0
    assert main(["backup", str(backup), "--home", str(home)]) == 0
    assert "File too large; nothing is restored" in limited("restore", backup, "--home", tmp_path / "fresh")
    assert list((tmp_path / "fresh").iterdir()) == []
    assert main(["restore", str(backup), "--home", str(tmp_path / "fresh")]) == 0


class Killed(BaseException):
    """The process ends here."""


def test_a_backup_that_was_killed_counts_as_before_and_goes_on(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    backup = tmp_path / "backup"
    first = said(capsys, "backup", backup, "--home", home)
    use_more(home, tmp_path, "v1")
    NoticeFile(home / "notices.json").save([])
    saves: Iterator[bool] = iter([True, False])
    save = BackupDirectory.save

    def killed(self: BackupDirectory, now: Any) -> None:
        if not next(saves):
            raise Killed
        save(self, now)

    monkeypatch.setattr(BackupDirectory, "save", killed)
    with pytest.raises(Killed):
        main(["backup", str(backup), "--home", str(home)])
    monkeypatch.undo()
    assert said(capsys, "restore", backup, "--dry-run")["log"] == first["log"]
    assert sum(path.name.startswith("notices.json-") for path in backup.iterdir()) == 2
    last = said(capsys, "backup", backup, "--home", home)
    assert sum(path.name.startswith("notices.json-") for path in backup.iterdir()) == 1
    assert said(capsys, "restore", backup, "--dry-run")["log"] == last["log"]


def test_a_first_run_that_was_killed_is_gone_on_with(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    backup = tmp_path / "backup"

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(backups, "copy_jobs", killed)
    with pytest.raises(Killed):
        main(["backup", str(backup), "--home", str(home)])
    monkeypatch.undo()
    assert "the first run has not ended" in complaint(capsys, "restore", backup, "--dry-run")
    taken = said(capsys, "backup", backup, "--home", home)
    assert said(capsys, "restore", backup, "--dry-run")["log"] == taken["log"]


def test_a_restore_that_was_killed_is_done_again(home: Path, tmp_path: Path, capsys: Captured) -> None:
    backup, fresh = tmp_path / "backup", tmp_path / "fresh"
    taken = said(capsys, "backup", backup, "--home", home)
    (fresh / "restoring" / "log").mkdir(parents=True)  # As one leaves it that was killed before the log was moved.
    (fresh / "restoring" / "log" / "00000001.seg").write_bytes(b"half")
    (fresh / "jobs.db").write_bytes(b"moved")
    assert said(capsys, "restore", backup, "--home", fresh)["log"] == taken["log"]
    assert sorted(path.name for path in fresh.iterdir()) == ["jobs.db", "log", "notices.json"]
    assert (fresh / "jobs.db").read_bytes() != b"moved"


def test_one_backup_at_a_time(month: Path, tmp_path: Path, capsys: Captured) -> None:
    backup = tmp_path / "backup"
    said(capsys, "backup", backup, "--home", month)
    disk = LocalDisk(backup)
    disk.lock()
    heard = complaint(capsys, "backup", backup, "--home", month)
    assert f"{backup} is being written by process {os.getpid()}" in heard
    disk.unlock()
    said(capsys, "backup", backup, "--home", month)
