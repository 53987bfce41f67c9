"""The journal as other ledgers read it: their own tools check every entry, every balance, and find a changed digit."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from entrepot.cli.main import main
from tests.support.rich_books import make_books

BEAN_CHECK = [str(Path(sys.executable).with_name("bean-check"))]
LEDGERKIT = [sys.executable, "-m", "ledgerkit", "check", "--strict", "-f"]
HLEDGER = ["hledger", "check", "--strict", "-f"]

# {form: (the tool that checks it, a leg in it)}. ledgerkit reads hledger's language and needs nothing but Python.
CHECKED_BY = [
    pytest.param("beancount", BEAN_CHECK, id="bean-check"),
    pytest.param("hledger", LEDGERKIT, id="ledgerkit"),
    pytest.param(
        "hledger",
        HLEDGER,
        id="hledger",
        marks=pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not on this machine"),
    ),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_books(tmp_path_factory.mktemp("rich"))


def exported(home: Path, form: str, folder: Path) -> Path:
    path = folder / f"{form}.journal"
    assert main(["ledger", "export", "--format", form, "--out", str(path), "--home", str(home)]) == 0
    return path


def check(tool: list[str], path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*tool, str(path)], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("form", "tool"), CHECKED_BY)
def test_its_own_tool_accepts_the_journal(home: Path, tmp_path: Path, form: str, tool: list[str]) -> None:
    checked = check(tool, exported(home, form, tmp_path))
    assert (checked.returncode, checked.stdout.strip(), checked.stderr.strip()) == (0, "", "")


@pytest.mark.parametrize(("form", "tool"), CHECKED_BY)
def test_a_pico_more_on_a_leg_is_found(home: Path, tmp_path: Path, form: str, tool: list[str]) -> None:
    path = exported(home, form, tmp_path)
    leg = re.compile(r"^( +[Ii]ncome:[Uu]sage:\S+  -\d+\.\d{11})\d", re.MULTILINE)
    spoiled, count = leg.subn(lambda found: f"{found[1]}{(int(found[0][-1]) + 1) % 10}", path.read_text(), count=1)
    assert count == 1
    path.write_text(spoiled)
    assert check(tool, path).returncode != 0


@pytest.mark.parametrize(("form", "tool"), CHECKED_BY)
def test_an_entry_that_is_missing_is_found(home: Path, tmp_path: Path, form: str, tool: list[str]) -> None:
    """It leaves the others balanced: only what the accounts are said to hold tells."""
    path = exported(home, form, tmp_path)
    entries = path.read_text().split("\n\n")
    assert sum("invoice:2024-03-000002" in item for item in entries) == 1
    path.write_text("\n\n".join(item for item in entries if "invoice:2024-03-000002" not in item))
    assert check(tool, path).returncode != 0


@pytest.mark.parametrize("form", ["beancount", "hledger"])
def test_every_leg_has_twelve_decimals(home: Path, tmp_path: Path, form: str) -> None:
    text = exported(home, form, tmp_path).read_text()
    amounts = re.findall(r"  (-?[\d.]+) [A-Z]{3}$", text, re.MULTILINE)
    assert len(amounts) > 1000
    assert all(re.fullmatch(r"-?\d+\.\d{12}", amount) for amount in amounts)


def test_accounts_that_beancount_cannot_tell_apart_stay_apart(home: Path, tmp_path: Path) -> None:
    opened = dict(re.findall(r'open (\S+)\n  name: "(\S+)"', exported(home, "beancount", tmp_path).read_text()))
    assert opened["Assets:Receivable:Accrued:Acme"] == "assets:receivable:accrued:Acme"
    assert opened["Assets:Receivable:Accrued:Acme-2"] == "assets:receivable:accrued:acme"
    assert {opened["Income:Usage:Gpt-4-1"], opened["Income:Usage:Gpt-4-1-2"]} == {
        "income:usage:gpt-4.1",
        "income:usage:gpt-4-1",
    }


def test_without_a_file_the_journal_is_printed(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "export", "--format", "hledger", "--home", str(home)]) == 0
    assert capfd.readouterr().out.startswith('; Meridian Cloud "M". Written by Entrepôt.\n')
    with pytest.raises(SystemExit):
        main(["ledger", "export", "--format", "hledger", "--json", "--home", str(home)])
