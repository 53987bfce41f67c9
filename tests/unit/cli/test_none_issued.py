"""What a list of documents says where there are none."""

import pytest

from entrepot.cli.command import none_issued


@pytest.mark.parametrize(
    ("period", "asked", "said"),
    [
        (None, None, "no statements; `entrepot settle 2024-03` issues those of a month"),
        ("2024-05", "openai", "no statements of 2024-05 for openai; `entrepot settle 2024-05` issues those of a month"),
        ("2024-05", "opnai", "no partner 'opnai'; declared are openai"),
    ],
)
def test_it_says_what_issues_some_or_that_nobody_is_called_so(period: str | None, asked: str | None, said: str) -> None:
    assert none_issued("statements", "settle", period, "partner", asked, {"openai"}) == said


def test_of_many_it_names_none() -> None:
    many = [f"c{number}" for number in range(11)]
    said = "no customer 'x'; a world file declares customers"
    assert none_issued("invoices", "close", None, "customer", "x", many) == said
    assert none_issued("invoices", "close", None, "customer", "x", ()) == said
