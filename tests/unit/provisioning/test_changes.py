"""Differences between two worlds, by record and in words."""

import msgspec

from entrepot.core.agreements import Agreement, PartnerReport
from entrepot.core.exchange import ExchangeRate
from entrepot.core.money import PICO
from entrepot.core.periods import END_OF_TIME
from entrepot.core.world import World
from entrepot.provisioning.changes import Difference, differences
from tests.support.worlds import small_world


def test_everything_is_added_to_nothing() -> None:
    found = differences(None, small_world())
    assert {item.change for item in found} == {"add"}
    assert [item.kind for item in found][:3] == ["operator", "partner", "model"]
    assert Difference("deployment", "search/chat", "add") in found


def test_equal_worlds_do_not_differ() -> None:
    assert differences(small_world(), small_world()) == ()


def test_a_change_is_told_field_by_field() -> None:
    after = small_world(**{"tokens_per_minute: 240000": "tokens_per_minute: 10", "market: US": "market: DE"})
    assert differences(small_world(), after) == (
        Difference("customer", "acme", "change", ("market: US → DE",)),
        Difference("deployment", "search/chat", "change", ("tokens_per_minute: 240000 → 10",)),
    )


def test_a_budgets_limit_is_told_as_money() -> None:
    def budgeted(monthly: str, webhook: str) -> World:
        budget = f'budget: {{monthly: "{monthly}", webhook: "https://{webhook}/"}}, '
        return small_world(**{"market: US": f"{budget}market: US"})

    (found,) = differences(budgeted("50", "a.example"), budgeted("70.5", "b.example"))
    assert found.details == (
        "budget limit: 50.00 → 70.50",
        "budget webhook: https://a.example/ → https://b.example/",
    )


def test_a_price_is_told_as_it_is_published() -> None:
    after = small_world(**{'per_million: "30"': 'per_million: "25.5"'})
    (found,) = differences(small_world(), after)
    assert found == Difference(
        "price book version",
        "list@2024-01-01",
        "change",
        ("gpt-4 input_tokens: 30.00 per million → 25.50 per million",),
    )


def test_dates_lists_and_emptiness_are_told_as_people_read_them() -> None:
    after = small_world(
        **{
            "since: 2023-06-01": "since: 2023-07-01",
            "parent: acme-group, ": "",
            "models: [gpt-4]": "models: {gpt-4: gpt-4-0613}",
            "    price_book: list\n": "    price_book: list\n    effective_to: 2030-01-01\n",
        }
    )
    details = {item.kind: item.details for item in differences(small_world(), after)}
    assert details == {
        "upstream": ("models: gpt-4 → gpt-4 as gpt-4-0613",),
        "customer": ("parent: acme-group → none", "since: 2023-06-01T00:00:00Z → 2023-07-01T00:00:00Z"),
        "contract": ("effective_to: open → 2030-01-01T00:00:00Z",),
    }


def test_what_is_gone_is_removed() -> None:
    after = small_world(**{"  - {id: small, project: search, model: smollm2-135m}\n": ""})
    assert differences(small_world(), after) == (Difference("deployment", "search/small", "remove"),)


def test_a_world_that_differs_in_rates_agreements_or_reports_differs() -> None:
    rate = ExchangeRate("USD", "EUR", 0, 918_300_000_000)
    share = Agreement("own/resale_share@always", "own", "resale_share", "pay", 0, END_OF_TIME, "USD", share=1)
    report = PartnerReport("own/resale_share/2024-03", "own", "direct_sales_share", "2024-03", 5 * PICO)
    more = {"exchange_rates": (rate,), "agreements": (share,), "partner_reports": (report,)}
    after = msgspec.structs.replace(small_world(), **more)
    assert [(item.kind, item.change) for item in differences(small_world(), after)] == [
        ("exchange rate", "add"),
        ("agreement", "add"),
        ("partner report", "add"),
    ]
    dearer = msgspec.structs.replace(after, exchange_rates=(msgspec.structs.replace(rate, rate_pico=PICO),))
    assert differences(after, dearer) == (
        Difference("exchange rate", "USD-EUR@0", "change", ("rate_pico: 0.9183 → 1",)),
    )
