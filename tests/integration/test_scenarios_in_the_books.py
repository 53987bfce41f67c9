"""Reference scenarios that happen over time, through the commands: import, close, credit, settle, report.

`entrepot bill` is a pure look at one month; what arrives after an invoice, credit notes and reports are of the books.
The clock is put where the scenario has it. docs/operations/worked-scenarios.md says what is shown where.
"""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from entrepot.cli.main import main
from entrepot.core.periods import Instant, parse_instant

ACME = """customers: [{id: acme, name: Acme}]
contracts: [{customer: acme, effective_from: 2024-01-01, price_book: list, terms: [TERMS]}]
"""
WORLD = """
operator: {name: Contoso Cloud, currency: USD}
partners: [{id: openai, name: OpenAI}]
models: [{id: gpt-4, version: "0613", partner: openai, context_tokens: 8192, stage: general}]
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
PRICES
CUSTOMERS
MORE
"""


class Clock:
    """A clock that stands."""

    at: Instant = 0

    def now(self) -> Instant:
        return self.at


class Firm:
    """A data directory and the commands on it."""

    def __init__(self, folder: Path, captured: pytest.CaptureFixture[str], clock: Clock) -> None:
        self._folder = folder
        self._captured = captured
        self._clock = clock
        self._imported = 0

    def on(self, date: str) -> None:
        """Puts the clock to a date."""
        self._clock.at = parse_instant(date)

    def run(self, *words: str) -> Any:
        """What a command says with --json, when it does what it says."""
        self._captured.readouterr()
        status = main([*words, "--home", str(self._folder / "home"), "--json"])
        told = self._captured.readouterr()
        assert status == 0, told.err
        return json.loads(told.out)

    def apply(self, prices: list[str], terms: str = "", more: str = "", customers: str = ACME) -> None:
        """prices: YAML mappings of model gpt-4, without the model."""
        text = WORLD.replace("PRICES", "\n".join(f"          - {{model: gpt-4, {price}}}" for price in prices))
        path = self._folder / "world.yaml"
        path.write_text(text.replace("CUSTOMERS", customers).replace("TERMS", terms).replace("MORE", more))
        self.run("apply", str(path))

    def used(self, at: str, customer: str = "acme", corrects: str | None = None, **meters: int) -> str:
        """The id of a record of usage that was imported."""
        self._imported += 1
        record = {"id": f"r{self._imported}", "admitted_at": at, "customer": customer, "model": "gpt-4"}
        path = self._folder / "usage.jsonl"
        path.write_text(json.dumps({**record, "meters": meters, "corrects": corrects}) + "\n")
        assert self.run("usage", "import", str(path))["booked"] == 1
        return record["id"]

    def closed(self, period: str) -> list[dict[str, Any]]:
        """The invoices of a month that is over."""
        found: list[dict[str, Any]] = self.run("close", period)["invoices"]
        return found

    def settled(self, period: str) -> list[tuple[str, str, str]]:
        """[(base, amount, net)] of the statements of a closed month, which have a document each."""
        statements = self.run("settle", period)["statements"]
        return [(item["base"], item["amount"], one["net"]) for one in statements for item in one["documents"]]


@pytest.fixture
def firm(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Firm:
    clock = Clock()
    monkeypatch.setattr("entrepot.compose.books.SystemClock", lambda: clock)
    made = Firm(tmp_path, capsys, clock)
    made.on("2024-01-01")
    return made


def told(invoice: dict[str, Any], *names: str) -> list[tuple[str, ...]]:
    return [tuple(line[name] for name in names) for line in invoice["lines"]]


GRADUATED = (
    "meter: input_tokens, tiers: {mode: graduated, steps: "
    '[{up_to: 10000000, per_million: "0.40"}, {up_to: 100000000, per_million: "0.36"}, {per_million: "0.30"}]}'
)


def test_2_late_usage_is_a_correction_at_the_steps_its_month_has_reached(firm: Firm) -> None:
    """95 millions are billed; 20,000,001 more cost what they would have in time. From zero they would be 7.60."""
    firm.apply([GRADUATED])
    firm.used("2024-03-05T12:00:00Z", input_tokens=95_000_000)
    firm.on("2024-04-02")
    (march,) = firm.closed("2024-03")
    firm.used("2024-03-06T12:00:00Z", input_tokens=20_000_001)
    assert told(march, "exact", "amount") == [("34.6", "34.60")]
    firm.on("2024-05-02")
    (april,) = firm.closed("2024-04")
    assert told(april, "period", "quantity", "exact", "amount") == [("2024-03", "20000001", "6.3000003", "6.30")]
    assert firm.run("invoice", "show", march["number"]) == march
    firm.run("verify")


def test_3_months_that_were_closed_before_the_contract_was_declared_owe_its_minimum(firm: Firm) -> None:
    """1,000.00 a month from 15 January, signed in March: 548.39 for 17 of 31 days, 1,000.00 for February, and March."""
    others = ACME.replace("acme", "beta").replace("TERMS", "")
    firm.apply(DOLLARS, customers=others)
    for month, closed_on in (("2024-01", "2024-02-02"), ("2024-02", "2024-03-02")):
        firm.on(closed_on)
        assert firm.closed(month) == []
    signed = "{customer: acme, effective_from: 2024-01-15, price_book: list, terms: [{kind: minimum, monthly: '1000'}]}"
    both = others.replace("}]", "}, {id: acme, name: Acme}]", 1)
    firm.apply(DOLLARS, customers=both.replace("[]}]", f"[]}}, {signed}]"))
    firm.on("2024-04-02")
    (march,) = firm.closed("2024-03")
    assert (march["contract"], march["total"]) == ("acme@2024-01-15", "2548.39")
    owed = [("minimum", "2024-01", "548.39"), ("minimum", "2024-02", "1000.00"), ("minimum", "2024-03", "1000.00")]
    assert told(march, "kind", "period", "amount") == owed
    firm.used("2024-02-20T12:00:00Z", input_tokens=412_337_800)
    firm.on("2024-05-02")
    (april,) = firm.closed("2024-04")
    assert told(april, "kind", "period", "amount") == [
        ("adjustment", "2024-02", "412.34"),
        ("minimum", "2024-02", "-412.34"),
        ("minimum", "2024-04", "1000.00"),
    ]
    firm.run("verify")


AMOUNTS = {"input_tokens": "68.33", "cached_input_tokens": "68.33", "output_tokens": "57.50", "images": "85.00"}
NOTES = {"input_tokens": "82.00", "cached_input_tokens": "81.99", "output_tokens": "69.00", "images": "102.00"}


def test_7_credit_notes_of_all_lines_are_the_invoice_to_the_cent(firm: Firm) -> None:
    """68.33, 68.33, 57.50 and 85.00 with 20 % on the group. Each line rounded alone would give back 335.00."""
    firm.apply([f'meter: {meter}, each: "{amount}"' for meter, amount in AMOUNTS.items()], '{kind: tax, percent: "20"}')
    firm.used("2024-03-05T12:00:00Z", input_tokens=1, cached_input_tokens=1, output_tokens=1, images=1)
    firm.on("2024-04-02")
    (invoice,) = firm.closed("2024-03")
    assert (invoice["net"], invoice["tax"], invoice["total"]) == ("279.16", "55.83", "334.99")
    lines = {line["meter"]: str(line["number"]) for line in invoice["lines"]}
    credit = ("invoice", "credit", invoice["number"], "--reason", "outage", "--line")
    notes = [firm.run(*credit, lines[meter]) for meter in AMOUNTS]
    assert [note["tax"] for note in notes] == ["-13.67", "-13.66", "-11.50", "-17.00"]
    assert [note["total"] for note in notes] == [f"-{amount}" for amount in NOTES.values()]
    assert sum(Decimal(note["total"]) for note in notes) == Decimal("-334.99")
    owed = {item["account"] for item in firm.run("ledger", "show")["balances"]}
    assert not {name for name in owed if name.startswith(("assets:receivable", "liabilities:tax"))}
    firm.run("verify")


SHARE = (
    "agreements: "
    '[{partner: openai, kind: resale_share, direction: pay, percent: "20", from: 2023-01-01, to: 2026-04-27}]'
)
DOLLARS = ['meter: input_tokens, per_million: "1"', 'meter: output_tokens, per_million: "1"']


def test_9_credit_notes_of_the_month_are_off_the_base(firm: Firm) -> None:
    """1,250,000.00 invoiced for March, and 18,750.00 of February given back in it."""
    firm.apply(DOLLARS, more=SHARE)
    firm.used("2024-02-05T12:00:00Z", input_tokens=20_000 * 10**6)
    firm.on("2024-03-02")
    (february,) = firm.closed("2024-02")
    firm.run("invoice", "credit", february["number"], "--reason", "outage", "--line", "1", "--amount", "18750")
    firm.used("2024-03-05T12:00:00Z", input_tokens=1_250_000 * 10**6)
    firm.on("2024-04-02")
    assert [invoice["total"] for invoice in firm.closed("2024-03")] == ["1250000.00", "-18750.00"]
    assert firm.settled("2024-03") == [("1231250.00", "246250.00", "-246250.00")]


def april(firm: Firm) -> tuple[str, dict[str, Any]]:
    """(the id of what was used on 10 April, the invoice): 1,050,000 before the share's end and 181,250 after."""
    firm.on("2026-01-01")
    firm.apply(DOLLARS, more=SHARE)
    before = firm.used("2026-04-10T12:00:00Z", output_tokens=1_050_000 * 10**6)
    firm.used("2026-04-27T00:00:00Z", input_tokens=181_250 * 10**6)
    firm.on("2026-05-02")
    (invoice,) = firm.closed("2026-04")
    assert invoice["total"] == "1231250.00"
    assert firm.settled("2026-04") == [("1050000.00", "210000.00", "-210000.00")]
    return before, invoice


def test_9_a_credit_note_of_may_takes_back_the_share_of_april(firm: Firm) -> None:
    """10,000.00 of what was used on 10 April; in May there is no share any more, and of this usage there was."""
    _, invoice = april(firm)
    lines = {line["meter"]: str(line["number"]) for line in invoice["lines"]}
    credit = ("invoice", "credit", invoice["number"], "--reason", "outage", "--amount", "10000", "--line")
    assert firm.run(*credit, lines["output_tokens"])["number"] == "2026-05-C00001"
    assert firm.run(*credit, lines["input_tokens"])["total"] == "-10000.00"  # Of usage that was not shared.
    firm.on("2026-06-02")
    firm.closed("2026-05")
    assert firm.settled("2026-05") == [("-10000.00", "-2000.00", "2000.00")]
    firm.run("verify")


def test_9_so_does_an_amendment_of_the_usage(firm: Firm) -> None:
    before, _ = april(firm)
    firm.used("2026-04-10T12:00:00Z", corrects=before, output_tokens=-10_000 * 10**6)
    firm.on("2026-06-02")
    (may,) = firm.closed("2026-05")
    assert told(may, "period", "amount") == [("2026-04", "-10000.00")]
    assert firm.settled("2026-05") == [("-10000.00", "-2000.00", "2000.00")]


REVENUE = {"a": 62, "b": 15, "c": 9, "d": 6, "e": 5, "f": 3}


@pytest.mark.parametrize("is_group", [False, True])
def test_12_concentration_of_a_closed_month(firm: Firm, is_group: bool) -> None:
    """Of revenue that is 62, 15, 9, 6, 5 and 3 %; of which 6 and 5 are under common control, or not."""
    parents = {"d": ", parent: holding", "e": ", parent: holding"} if is_group else {}
    sections = ["customers:"]
    sections += [f"  - {{id: {name}, name: {name.upper()}{parents.get(name, '')}}}" for name in REVENUE]
    sections += ["contracts:"]
    sections += [f"  - {{customer: {name}, effective_from: 2024-01-01, price_book: list}}" for name in REVENUE]
    firm.apply(DOLLARS, customers="\n".join(sections))
    for name, dollars in REVENUE.items():
        firm.used("2024-03-05T12:00:00Z", customer=name, input_tokens=dollars * 10**6)
    firm.on("2024-04-02")
    firm.closed("2024-03")
    report = firm.run("report", "concentration", "--period", "2024-03")
    listed = [(one["group"], one["share_percent"]) for one in report["major_customers"]]
    assert report["customers"][1]["cumulative_percent"] == "77.00"
    assert report["hhi"]["customers"] == "4220.00"
    assert listed == [("a", "62.00"), ("b", "15.00"), *([("holding", "11.00")] if is_group else [])]
    assert report["hhi"]["groups"] == ("4280.00" if is_group else "4220.00")
    assert is_group or report["hhi"]["groups_without_largest"] == "2603.88"
