"""Bills of small worlds, printed by `entrepot bill`."""

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from entrepot.cli.main import main

Captured = pytest.CaptureFixture[str]
Usage = tuple[str, dict[str, int]]  # Admitted at, or "admitted at/finished at"; meters. Less than nothing amends.

WORLD = """
operator: {{name: Contoso Cloud, currency: USD, rounding: {rounding}}}
exchange_rates: [{rates}]
{more}
models:
  - {{id: m, version: "1", partner: {partner}, context_tokens: 1000000, stage: general}}
price_books:
  - id: list
    currency: USD
    versions:
      - effective_from: {effective_from}
        prices:
{prices}
customers: [{{id: acme, name: Acme}}]
contracts:
  - {{customer: acme, effective_from: {since}, price_book: list, currency: {currency}, zone: {zone}, terms: [{terms}]}}
"""


class Billing:
    """Prints bills of one customer, acme, on model m."""

    def __init__(self, folder: Path, captured: Captured) -> None:
        self._folder = folder
        self._captured = captured
        self.status = 0

    def bill(
        self,
        prices: Sequence[str],
        usage: Sequence[Usage],
        period: str = "2024-03",
        *,
        terms: str = "",
        zone: str = "UTC",
        tier: str = "default",
        since: str = "2024-01-01",
        currency: str = "USD",
        rates: str = "",
        partner: str = "own",
        more: str = "",
        effective_from: str = "2024-01-01",
        rounding: str = "half_up",
        arrival: int = 0,
    ) -> dict[str, Any]:
        """What `entrepot bill` prints. prices: of model m, a YAML mapping each without its model. more: sections.

        effective_from: of the prices. arrival: the seed of the order of the usage in its file; 0 is as given.
        """
        rows = "\n".join(f"          - {{model: m, {price}}}" for price in prices)
        world = self._folder / "world.yaml"
        of = {
            "terms": terms,
            "zone": zone,
            "since": since,
            "currency": currency,
            "rates": rates,
            "partner": partner,
            "more": more,
            "effective_from": effective_from,
            "rounding": rounding,
        }
        world.write_text(WORLD.format(prices=rows, **of))
        records = self._folder / "usage.jsonl"
        written = [_record(number, at, meters, tier) for number, (at, meters) in enumerate(usage)]
        if arrival:
            Random(arrival).shuffle(written)
        records.write_text("".join(written))
        self._captured.readouterr()
        self.status = main(["bill", "--world", str(world), "--usage", str(records), "--period", period, "--json"])
        assert self.status == 0
        printed: dict[str, Any] = json.loads(self._captured.readouterr().out)
        assert printed["ledger"]["balanced"]
        assert printed["quarantine"] == []
        return printed

    def refused(self, *args: Any, **more: Any) -> str:
        """What `entrepot bill` says when it refuses."""
        with pytest.raises(AssertionError):
            self.bill(*args, **more)
        assert self.status == 1
        return self._captured.readouterr().err

    def lines(self, *args: Any, **more: Any) -> tuple[list[tuple[str, ...]], str]:
        """([(meter, quantity, exact, amount)], total) of the one invoice."""
        (invoice,) = self.bill(*args, **more)["invoices"]
        told = [
            tuple(str(line[name]) for name in ("meter", "quantity", "exact", "amount")) for line in invoice["lines"]
        ]
        return told, invoice["total"]


def _record(number: int, at: str, meters: dict[str, int], tier: str) -> str:
    admitted_at, _, finished_at = at.partition("/")
    record = {
        "id": f"{number:032x}",
        "admitted_at": admitted_at,
        "finished_at": finished_at or admitted_at,
        "customer": "acme",
        "project": "p",
        "deployment": "d",
        "model": "m",
        "tier": tier,
        "meters": meters,
        "source": "reported",
        "corrects": "elsewhere" if min(meters.values()) < 0 else None,
    }
    return json.dumps(record) + "\n"
