"""What the commands say of the books while clients are being served: everything is there, and nothing is in the way."""

import json
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.product import Product, eventually
from tests.support.shared_product import PAST_MONTH

# Per million, as tests/e2e/world.yaml has them.
PRICES = {
    ("smollm2-135m", "input_tokens", "default"): "0.10",
    ("smollm2-135m", "output_tokens", "default"): "0.40",
    ("smollm2-135m", "input_tokens", "batch"): "0.05",
    ("smollm2-135m", "output_tokens", "batch"): "0.20",
    ("all-minilm-l6-v2", "input_tokens", "default"): "0.02",
    ("all-minilm-l6-v2", "input_tokens", "batch"): "0.01",
    ("maker-large", "input_tokens", "default"): "3",
    ("maker-large", "cached_input_tokens", "default"): "1.5",
    ("maker-large", "output_tokens", "default"): "12",
    ("maker-large", "input_tokens", "batch"): "1.5",
    ("maker-large", "output_tokens", "batch"): "6",
}

# What a part of a meter is priced as where it has no price of its own.
WHOLE = {"cached_input_tokens": "input_tokens", "reasoning_tokens": "output_tokens"}


@pytest.fixture(scope="module")
def asked(product: Product) -> Any:
    """A request that has cached and reasoning tokens, as the one thing that is certainly in the books."""
    messages: Any = [{"role": "user", "content": "one two three four [[chunks=9 cached=3 reasoning=4]]"}]
    with openai.OpenAI(base_url=f"{product.gateway}/v1", api_key=product.key) as client:
        answer = client.chat.completions.create(model="large", messages=messages)
    product.note(answer._request_id, answer.usage)
    booked = product.booked(answer._request_id)
    assert booked["meters"] == {
        "input_tokens": 1,
        "cached_input_tokens": 3,
        "output_tokens": 5,
        "reasoning_tokens": 4,
    }
    return booked


def test_verify_is_green(product: Product, asked: Any) -> None:
    found = product.run_json("verify")
    assert (found["equal"], found["faults"]) == (True, [])
    assert found["ledger"]["balanced"]


def test_the_running_month_cannot_be_closed(product: Product, asked: Any) -> None:
    now = datetime.now(UTC)
    said = product.run("close", f"{now:%Y-%m}", status=1)
    ends = f"{now.year + now.month // 12}-{now.month % 12 + 1:02d}-01T00:00:00"
    assert said.startswith(f"entrepot: {now:%Y-%m} ends at {ends}")
    assert "close it then or later" in said
    assert asked["id"] in product.export()


def test_a_month_that_is_over_is_accrued_and_can_be_closed(product: Product) -> None:
    """Given a million tokens in and half a million out, they come to 0.10 and 0.20; closing again changes nothing."""

    def accrued() -> Any:
        ledger = product.run_json("ledger", "show")
        return ledger if ledger["entries"] else None

    ledger = eventually(accrued)
    assert ledger["balanced"]
    assert ledger["accrued_before"] > "2024-04"
    assert Decimal("0.30") in {abs(Decimal(row["balance"])) for row in ledger["balances"]}
    [invoice] = product.run_json("close", PAST_MONTH)["invoices"]
    assert (invoice["customer"], invoice["total"]) == ("globex", "0.30")
    again = product.run_json("close", PAST_MONTH)
    assert (again["issued"], again["invoices"]) == ([], [invoice])


def test_a_bill_of_what_is_exported_prices_each_token_at_its_tier(product: Product, asked: Any, tmp_path: Path) -> None:
    out, month = tmp_path / "usage.jsonl", asked["admitted_at"][:7]
    product.run("usage", "export", "--period", month, "--out", str(out))
    bill = product.run_json("bill", "--world", str(product.home / "world.yaml"), "--usage", str(out), "--period", month)
    assert bill["quarantine"] == []
    [invoice] = [item for item in bill["invoices"] if item["customer"] == "acme"]
    billed = {
        (line["model"], line["meter"], line["tier"]): line for line in invoice["lines"] if line["kind"] == "usage"
    }
    for key, line in billed.items():
        assert Decimal(line["exact"]) == Decimal(line["quantity"]) * Decimal(PRICES[key]) / 1_000_000
    exported = [json.loads(line) for line in out.read_text().splitlines()]
    assert asked["id"] in {record["id"] for record in exported}
    used = [record for record in exported if record["customer"] == "acme"]  # Other tests may have served another one.
    assert {key: int(line["quantity"]) for key, line in billed.items()} == sums(used)


def sums(records: list[Any]) -> dict[tuple[str, str, str], int]:
    """{(model, meter it is priced as, tier): units} of usage records."""
    total: Counter[tuple[str, str, str]] = Counter()
    for record in records:
        for meter, quantity in record["meters"].items():
            whole = WHOLE.get(meter, meter)
            priced_as = meter if (record["model"], meter, record["tier"]) in PRICES else whole
            total[record["model"], priced_as, record["tier"]] += quantity
    return {key: quantity for key, quantity in total.items() if quantity}
