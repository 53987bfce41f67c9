"""A data directory with two closed months of every kind of price and term, made by the commands themselves."""

import json
from pathlib import Path

from entrepot.cli.main import main

WORLD = """\
operator: {name: "Meridian Cloud \\"M\\"", currency: USD}
partners:
  - {id: openai, name: OpenAI}
models:
  - {id: gpt-4.1, version: "1", partner: openai, context_tokens: 8192, stage: general}
  - {id: gpt-4-1, version: "1", partner: openai, context_tokens: 8192, stage: general}
  - {id: embed, version: "1", partner: openai, context_tokens: 8192, stage: general, operations: [embeddings]}
  - {id: dall-e, version: "1", partner: own, context_tokens: 8192, stage: general, operations: [images]}
  - {id: tts, version: "1", partner: own, context_tokens: 8192, stage: general, operations: [speech]}
  - {id: whisper, version: "1", partner: own, context_tokens: 8192, stage: general, operations: [transcriptions]}
  - {id: guard, version: "1", partner: own, context_tokens: 8192, stage: general, operations: [moderations]}
price_books:
  - id: list
    currency: USD
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: gpt-4.1, meter: input_tokens, per_million: "30.000001"}
          - {model: gpt-4.1, meter: output_tokens, per_million: "60"}
          - {model: gpt-4.1, meter: input_tokens, tier: batch, per_million: "15"}
          - {model: gpt-4.1, meter: output_tokens, tier: batch, per_million: "30"}
          - {model: gpt-4.1, meter: provisioned_unit_hours, each: "1.01"}
          - model: gpt-4-1
            meter: input_tokens
            tiers: {mode: graduated, steps: [{up_to: 5000, per_million: "0.40"}, {per_million: "0.30"}]}
          - model: gpt-4-1
            meter: output_tokens
            tiers: {mode: volume, steps: [{up_to: 1000, per_million: "3"}, {per_million: "2"}]}
          - {model: embed, meter: input_tokens, package: {size: 1000, each: "0.01"}}
          - {model: dall-e, meter: images, each: "0.04"}
          - {model: tts, meter: characters, per_million: "15"}
          - {model: whisper, meter: audio_seconds, each: "0.0001"}
          - {model: guard, meter: requests, each: "0.00001"}
customers:
  - {id: acme, name: "Acme, Inc."}
  - {id: Acme, name: Other Acme}
  - {id: blau, name: Blau GmbH}
  - {id: cobalt, name: Cobalt}
  - {id: dune, name: Dune}
  - {id: erg, name: Erg}
  - {id: fjord, name: Fjord}
contracts:
  - {customer: acme, effective_from: 2024-01-01, price_book: list, currency: USD}
  - customer: Acme
    effective_from: 2024-01-01
    price_book: list
    terms: [{kind: minimum, monthly: "50"}, {kind: lines, grain: model}]
  - customer: blau
    effective_from: 2024-01-01
    price_book: list
    currency: EUR
    zone: Europe/Berlin
    terms:
      - {kind: discount, percent: "12.5"}
      - {kind: exchange, rate: "0.9183"}
      - {kind: tax, percent: "19", name: VAT}
  - customer: cobalt
    effective_from: 2024-01-01
    price_book: list
    currency: USD
    zone: Asia/Kolkata
    terms:
      - kind: commitment
        amount: "1"
        term: {from: 2024-03-01, to: 2024-05-01}
        discount_percent: "20"
        overage: list
  - customer: dune
    effective_from: 2024-01-01
    price_book: list
    terms: [{kind: commitment, amount: "1000", term: {from: 2024-03-01, to: 2024-05-01}}]
  - customer: erg
    effective_from: 2024-01-01
    price_book: list
    terms:
      - kind: reservation
        units: 15
        each_hour: "0.35"
        from: 2024-03-10T10:00:00Z
        to: 2024-03-10T14:00:00Z
  - customer: fjord
    effective_from: 2024-01-01
    price_book: list
    terms:
      - {kind: cap, monthly: "20"}
      - {kind: credit, amount: "5", from: 2024-03-01, expires: 2024-04-01, payment: granted}
      - {kind: credit, amount: "30", from: 2024-03-01, expires: 2024-06-01}
subscriptions:
  - {id: desks, customer: fjord, each_month: "1.10", from: 2024-03-01, seats: 3}
projects:
  - {id: search, customer: acme}
  - {id: other, customer: Acme}
  - {id: suche, customer: blau}
  - {id: khoj, customer: cobalt}
  - {id: sand, customer: dune}
  - {id: power, customer: erg}
  - {id: ice, customer: fjord}
deployments:
  - {id: chat, project: search, model: gpt-4.1}
  - {id: chat, project: other, model: gpt-4.1}
  - {id: chat, project: suche, model: gpt-4.1}
  - {id: chat, project: khoj, model: gpt-4.1}
  - id: units
    project: power
    model: gpt-4.1
    kind: provisioned
    units:
      - {from: 2024-03-10T10:20:00Z, units: 15}
      - {from: 2024-03-10T11:31:00Z, units: 40}
      - {from: 2024-03-10T13:15:00Z, units: 0}
agreements:
  - {partner: openai, kind: resale_share, direction: pay, percent: "20", from: 2023-01-01}
exchange_rates: [{from: EUR, to: USD, rate: "1.08", on: 2024-01-01}]
"""

_PROJECTS = {"acme": "search", "Acme": "other", "blau": "suche", "cobalt": "khoj", "dune": "sand", "fjord": "ice"}
_METERS: dict[str, dict[str, int]] = {
    "gpt-4.1": {"input_tokens": 1001, "cached_input_tokens": 77, "output_tokens": 333, "reasoning_tokens": 5},
    "gpt-4-1": {"input_tokens": 997, "output_tokens": 211},
    "embed": {"input_tokens": 1234},
    "dall-e": {"images": 2},
    "tts": {"characters": 321},
    "whisper": {"audio_seconds": 61},
    "guard": {"requests": 1},
}
BEFORE_THE_CLOSE, LATE, OF_APRIL = range(31), range(31, 36), range(36, 48)


def records(days: range, month: str = "2024-03") -> list[dict[str, object]]:
    """Usage records of every customer and model; numbers above 30 begin again on the first of the month."""
    return [
        {
            "id": f"{customer}-{model}-{number}",
            "admitted_at": f"{month}-{number % 30 + 1:02d}T{number * 7 % 24:02d}:59:59.5Z",
            "finished_at": f"{month}-{number % 30 + 1:02d}T{number * 7 % 24:02d}:59:59.9Z",
            "customer": customer,
            "project": project,
            "deployment": "chat" if model == "gpt-4.1" else f"of-{model}",
            "model": model,
            "tier": "batch" if model == "gpt-4.1" and number % 3 == 0 else "default",
            "meters": {name: quantity + number for name, quantity in meters.items()},
        }
        for customer, project in _PROJECTS.items()
        for model, meters in _METERS.items()
        for number in days
    ]


def bring_in(home: Path, rows: list[dict[str, object]]) -> None:
    """Imports usage records."""
    path = home.with_name("usage.jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["usage", "import", str(path), "--home", str(home)]) == 0


def make_books(folder: Path) -> Path:
    """March closed, late usage of it invoiced, a line of it given back, April closed, both settled."""
    home = folder / "home"
    at_home = ("--home", str(home))
    (folder / "world.yaml").write_text(WORLD)
    assert main(["apply", str(folder / "world.yaml"), *at_home]) == 0
    bring_in(home, records(BEFORE_THE_CLOSE))
    assert main(["close", "2024-03", *at_home]) == 0
    bring_in(home, [*records(LATE), *records(OF_APRIL, "2024-04")])
    assert main(["close", "2024-03", *at_home]) == 0
    assert main(["close", "2024-04", *at_home]) == 0
    invoice = "2024-03-000003"  # Of Blau: with tax.
    assert main(["invoice", "credit", invoice, "--line", "1", "--amount", "0.10", "--reason", "slow", *at_home]) == 0
    for period in ("2024-03", "2024-04"):
        assert main(["settle", period, *at_home]) == 0
    return home
