"""What a person of finance types wrong, or asks for before it is there: one line that says what to do."""

from pathlib import Path

import pytest

from entrepot.cli.main import main
from tests.support.offices import make_month, write_world

NUMBER = "2024-05-000001"
CREDIT = ("invoice", "credit", NUMBER, "--reason")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """May 2024, used and closed."""
    return make_month(tmp_path_factory.mktemp("office"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*CREDIT, " ", "--line", "1"), "give a reason: it is printed on the credit note"),
        ((*CREDIT, "outage", "--line", "9"), f"invoice {NUMBER} has lines 1 to 2, not 9"),
        (
            ("report", "concentration", "--period", "2024-05", "--currency", "EUR"),
            "2024-05 has revenue in USD, none in",
        ),
        (("reconcile", "day", "2024-5-1"), "'2024-5-1' is not a day such as 2024-03-05"),
        (("reconcile", "import", "openai", "gone.csv"), "gone.csv cannot be read: No such file or directory"),
    ],
)
def test_a_fault_is_one_line(home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    assert main([*words, "--home", str(home)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    assert line.startswith(f"entrepot: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("invoice", "list", "--period", "2024-06"), "no invoices of 2024-06; `entrepot close 2024-06` issues"),
        (("statement", "list"), "no statements; `entrepot settle 2024-03` issues"),
        (("statement", "list", "--period", "2024-05"), "no statements of 2024-05; `entrepot settle 2024-05` issues"),
        (("invoice", "list", "--customer", "nobody"), "no customer 'nobody'; declared are "),
        (("statement", "list", "--partner", "nobody"), "no partner 'nobody'; declared are "),
        (("settle", "2024-05"), "no agreement with a partner comes to anything in 2024-05; a world file declares them"),
    ],
)
def test_nothing_there_says_how_it_comes_to_be_there(
    home: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert main([*words, "--home", str(home)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(said)


def test_a_price_diff_of_a_month_without_usage_says_so(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["price", "diff", "--world", write_world(tmp_path), "--period", "2022-05", "--home", str(home)]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["nothing is booked of 2022-05 that either world would charge"]


def test_a_credit_note_cannot_be_given_back(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at_home = ("--home", str(home))
    assert main([*CREDIT, "outage", "--line", "1", "--amount", "0.01", *at_home]) == 0
    note = capsys.readouterr().out.split()[2]
    assert main(["invoice", "credit", note, "--reason", "again", "--line", "1", *at_home]) == 1
    assert f"{note} is a credit note, of which nothing can be given back" in capsys.readouterr().err
