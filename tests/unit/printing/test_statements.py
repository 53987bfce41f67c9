"""A statement in words: both directions, caps, dates, who owes whom, in every language."""

import re
from datetime import date

import pytest

from entrepot.core.agreements import Agreement
from entrepot.core.parties import Party
from entrepot.core.periods import END_OF_TIME, parse_instant
from entrepot.core.statements import Statement, StatementItem
from entrepot.printing.html import html_of
from entrepot.printing.phrases import LANGUAGES, phrases_of
from entrepot.printing.statement_sheet import Parties, print_statement

AGREEMENTS = (
    Agreement(
        id="openai/resale_share@2023-01-01",
        partner="openai",
        kind="resale_share",
        direction="pay",
        begins=parse_instant("2023-01-01"),
        ends=parse_instant("2026-04-27"),
        currency="USD",
    ),
    Agreement(
        id="openai/capacity_rental@2023-01-01",
        partner="openai",
        kind="capacity_rental",
        direction="receive",
        begins=parse_instant("2023-01-01"),
        ends=END_OF_TIME,
        currency="USD",
        unit="gpu_hour",
    ),
)
ITEMS = (
    StatementItem("openai/capacity_rental@2023-01-01", "capacity_rental", "receive", "1234.5", "2.1735", "2683.19"),
    StatementItem(
        "openai/direct_sales_share@x", "direct_sales_share", "receive", "3400000.00", "20", "650000.00", "0.00"
    ),
    StatementItem("openai/resale_share@2023-01-01", "resale_share", "pay", "1231250.00", "20", "246250.00"),
)


def stated(net: str = "406433.19") -> Statement:
    return Statement("2026-04-openai-1", "2026-04", "openai", "OpenAI", "USD", "2026-05-01T00:00:00Z", ITEMS, net)


PARTIES = Parties(
    day=date(2026, 5, 1),
    operator=Party(name="Contoso Cloud", country="DE", city="Berlin"),
    agreements={agreement.id: agreement for agreement in AGREEMENTS},
)


def test_in_english() -> None:
    sheet = print_statement(stated(), "en", PARTIES)
    pays, receives = sheet.groups
    assert (pays.heading, receives.heading) == ("Contoso Cloud pays", "Contoso Cloud receives")
    (share,) = pays.lines
    assert (share.number, share.what, share.quantity, share.price, share.amount) == (
        "1",
        "Share of resale",
        "$1,231,250.00",
        "20%",
        "$246,250.00",
    )
    assert share.clause.endswith("in force from January 1, 2023 to April 26, 2026")
    rental, capped = receives.lines
    assert (rental.number, rental.quantity, rental.price, rental.per) == ("2", "1,234.5", "$2.1735", "per gpu hour")
    assert rental.clause.endswith("in force since January 1, 2023")
    assert (capped.exact, capped.clause) == ("$0.00", "openai/direct_sales_share@x")
    assert [(fact.label, fact.value) for fact in sheet.sums] == [
        ("To be paid to OpenAI", "$246,250.00"),
        ("To be received from OpenAI", "$652,683.19"),
        ("OpenAI owes Contoso Cloud", "$406,433.19"),
    ]


def test_who_owes_whom_goes_by_the_net() -> None:
    assert print_statement(stated("-5.00"), "en", PARTIES).sums[-1].label == "Contoso Cloud owes OpenAI"


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_says_all_of_it(language: str) -> None:
    words = phrases_of(language, "statement_phrases")._phrases
    english = phrases_of("en", "statement_phrases")._phrases
    assert list(words) == list(english)
    for key, phrase in words.items():
        assert sorted(re.findall(r"{\w+}", phrase)) == sorted(re.findall(r"{\w+}", english[key])), key
    page = html_of(print_statement(stated(), language, PARTIES)).decode()
    assert f'lang="{LANGUAGES[language].tag}"' in page
    assert "{" not in page.partition("</style>")[2]
    assert page.count("OpenAI") >= 4
