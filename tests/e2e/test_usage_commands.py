"""`entrepot usage` and `entrepot report` as an operator types them, on a data directory of their own."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entrepot.cli.main import main
from entrepot.core.money import parse_pico
from tests.support.tree import ROOT

MONTH = ROOT / "examples" / "month"
AZURE = ROOT / "examples" / "data" / "AzureLLMInferenceTrace_2023_conv.csv.gz"
WORLD = """
operator: {name: Contoso Cloud, currency: USD}
models:
  - {id: m, version: "1", partner: own, context_tokens: 8192, stage: general}
price_books:
  - id: list
    versions:
      - effective_from: 2024-01-01
        prices:
          - {model: m, meter: input_tokens, per_million: "10"}
          - {model: m, meter: output_tokens, per_million: "30"}
customers:
  - {id: tiktok, name: TikTok, parent: bytedance}
  - {id: lark, name: Lark, parent: bytedance}
  - {id: walmart, name: Walmart}
contracts:
  - {customer: tiktok, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}
  - {customer: lark, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}
  - {customer: walmart, effective_from: 2024-01-01, price_book: list, currency: USD, zone: UTC}
projects:
  - {id: search, customer: tiktok}
  - {id: shop, customer: walmart}
deployments:
  - {id: chat, project: search, model: m}
  - {id: chat, project: shop, model: m}
"""


class Entrepot:
    """The program on one data directory."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: object, status: int = 0) -> str:
        """What a command prints on standard output."""
        self._capsys.readouterr()
        try:
            ended = main([*map(str, words), "--home", str(self._home)])
        except SystemExit as error:
            ended = int(error.code or 0)
        out, self.complaints = self._capsys.readouterr()
        assert ended == status, out + self.complaints
        return out

    def document(self, *words: object, status: int = 0) -> Any:
        """What a command prints with --json."""
        return json.loads(self(*words, "--json", status=status))


@pytest.fixture(name="entrepot")
def _entrepot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Entrepot:
    entrepot = Entrepot(tmp_path / "home", capsys)
    (tmp_path / "world.yaml").write_text(WORLD)
    entrepot("apply", tmp_path / "world.yaml")
    return entrepot


def record(number: int, **changes: object) -> dict[str, Any]:
    return {
        "id": f"r-{number}",
        "admitted_at": f"2024-03-05T08:00:{number % 60:02d}Z",
        "finished_at": f"2024-03-05T08:01:{number % 60:02d}.5Z",
        "customer": ("tiktok", "lark", "walmart")[number % 3],
        "project": "",
        "deployment": "",
        "model": "m",
        "meters": {"input_tokens": 100_000 * (number + 1), "output_tokens": 7},
        **changes,
    }


@pytest.fixture(name="usage")
def _usage(tmp_path: Path) -> Callable[..., Path]:
    def write(*records: object, name: str = "usage.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(one) + "\n" if isinstance(one, dict) else f"{one}\n" for one in records))
        return path

    return write


def test_importing_again_changes_nothing(entrepot: Entrepot, usage: Callable[..., Path]) -> None:
    path = usage(*(record(number) for number in range(9)))
    first = entrepot.document("usage", "import", path)
    assert (first["read"], first["booked"], first["duplicates"], first["rejected"]) == (9, 9, 0, 0)
    exported = entrepot("usage", "export")
    again = entrepot.document("usage", "import", path)
    assert (again["read"], again["booked"], again["duplicates"]) == (9, 0, 9)
    assert entrepot("usage", "export") == exported
    assert first["peak_memory_mib"] > 0


def test_bad_rows_are_named_written_down_and_the_good_ones_kept(entrepot: Entrepot, usage: Callable[..., Path]) -> None:
    bad = [f'{{"id": "b-{number}"}}' for number in range(30)]
    path = usage(record(0), "not json", record(1), record(2, tier="gold"), *bad, record(3))
    text = entrepot("usage", "import", path, status=1)
    assert "35  rows read" in text
    assert " 3  booked" in text
    complaints = entrepot.complaints.splitlines()
    assert complaints[0].startswith("line 2: is not a JSON object")
    assert complaints[1].startswith("line 4: tier 'gold' is not one of")
    assert complaints[20:] == [
        "… and 12 more",
        f"entrepot: 32 of 35 rows of {path} were rejected; see {path}.rejected.jsonl",
    ]
    rejected = [json.loads(line) for line in Path(f"{path}.rejected.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rejected] == [2, 4, *range(5, 35)]
    assert rejected[0]["row"] == "not json"


def test_where_rejected_rows_go_can_be_said(entrepot: Entrepot, usage: Callable[..., Path], tmp_path: Path) -> None:
    document = entrepot.document("usage", "import", usage("oops"), "--rejected", tmp_path / "bad", status=1)
    assert document["rejected_file"] == str(tmp_path / "bad")
    assert document["first_rejected"][0]["line"] == 1
    assert json.loads((tmp_path / "bad").read_text())["row"] == "oops"


def test_what_cannot_be_booked_is_said_and_not_lost(entrepot: Entrepot, usage: Callable[..., Path]) -> None:
    entrepot("usage", "import", usage(record(0), record(1)))
    path = usage(record(0, model="other"), record(1), record(2, customer="nobody"), record(3))
    document = entrepot.document("usage", "import", path)
    assert (document["booked"], document["duplicates"], document["rejected"]) == (1, 1, 0)
    assert document["quarantined"] == {"unpriced": 2}
    conflict = entrepot.document("usage", "import", usage(record(1, meters={"input_tokens": 5}), name="other.jsonl"))
    assert (conflict["booked"], conflict["conflicts"], conflict["duplicates"]) == (0, 1, 0)
    waiting = entrepot.document("usage", "list", "--quarantined")["quarantined"]
    assert [(one["event"]["id"], one["kind"]) for one in waiting] == [
        ("r-0", "unpriced"),
        ("r-1", "conflict"),
        ("r-2", "unpriced"),
    ]
    assert "customer 'nobody' is not declared" in entrepot("usage", "list", "--quarantined")
    again = entrepot.document("usage", "import", path)
    assert (again["booked"], again["quarantined"], again["duplicates"]) == (0, {}, 4)


def test_a_cut_archive_is_imported_up_to_the_cut_and_complains(
    entrepot: Entrepot, usage: Callable[..., Path], tmp_path: Path
) -> None:
    whole = usage(*(record(number) for number in range(20_000))).read_bytes()
    path = tmp_path / "cut.jsonl.gz"
    path.write_bytes(gzip.compress(whole)[:-2000])
    document = entrepot.document("usage", "import", path, status=1)
    assert 0 < document["booked"] < 20_000
    assert document["rejected"] == 0
    assert "breaks off" in document["broken"]
    assert entrepot.complaints.startswith(f"entrepot: {path} breaks off")


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_what_is_exported_can_be_imported(
    entrepot: Entrepot, usage: Callable[..., Path], tmp_path: Path, form: str
) -> None:
    entrepot(
        "usage",
        "import",
        usage(*(record(number) for number in range(30)), record(99, corrects="r-1", meters={"input_tokens": -5})),
    )
    out = tmp_path / f"out.{form}"
    assert entrepot.document("usage", "export", "--format", form, "--out", out)["records"] == 31
    document = entrepot.document("usage", "import", out)
    assert (document["read"], document["duplicates"], document["booked"], document["rejected"]) == (31, 31, 0, 0)


def test_usage_is_listed_and_exported_by_customer_and_month(entrepot: Entrepot, usage: Callable[..., Path]) -> None:
    april = record(3, admitted_at="2024-04-01T00:00:00Z", finished_at="2024-04-01T00:00:00Z")
    entrepot("usage", "import", usage(*(record(number) for number in range(3)), april))
    listed = entrepot.document("usage", "list", "--customer", "tiktok")["usage"]
    assert [row["id"] for row in listed] == ["r-3", "r-0"]
    assert listed[1]["meters"] == {"input_tokens": 100_000, "output_tokens": 7}
    assert [
        row["id"] for row in entrepot.document("usage", "list", "--limit", "1", "--period", "2024-03")["usage"]
    ] == ["r-2"]
    exported = entrepot("usage", "export", "--customer", "tiktok", "--period", "2024-03").splitlines()
    assert [json.loads(line)["id"] for line in exported] == ["r-0"]
    assert "no usage is booked that matches" in entrepot("usage", "list", "--customer", "nobody")
    assert "r-3" in entrepot("usage", "list")


def test_a_trace_is_booked_on_a_deployment_or_spread(entrepot: Entrepot, tmp_path: Path) -> None:
    words = ["usage", "import", AZURE, "--trace", "azure", "--shift-to", "2024-03-05"]
    one = entrepot.document(*words, "--customer", "walmart", "--deployment", "chat")
    assert (one["read"], one["booked"]) == (19_366, 19_366)
    assert entrepot.document(*words, "--deployment", "shop/chat")["duplicates"] == 19_366
    (tmp_path / "weights.yaml").write_text("search/chat: 3\nshop/chat: 1\n")
    spread = ["--spread", tmp_path / "weights.yaml"]
    otherwise = entrepot.document(*words, *spread)
    assert (otherwise["booked"], otherwise["duplicates"] + otherwise["conflicts"]) == (0, 19_366)
    assert 14_000 < otherwise["conflicts"] < 15_000
    assert entrepot.document(*words, *spread, "--label", "again")["booked"] == 19_366
    newest = entrepot.document("usage", "list", "--customer", "tiktok", "--limit", "1")["usage"][0]
    assert newest["admitted_at"].startswith("2024-03-05T19:14:")


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (["--deployment", "chat"], 2, "--deployment needs --trace"),
        (["--trace", "azure"], 2, "a trace needs --deployment or --spread"),
        (["--trace", "azure", "--deployment", "chat"], 1, "chat could be search/chat, shop/chat; write one of them"),
        (["--trace", "azure", "--deployment", "draw"], 1, "the world declares no deployment draw"),
        (["--trace", "azure", "--spread", "nowhere.yaml"], 1, "nowhere.yaml cannot be read"),
        (
            ["--trace", "azure", "--spread", "world", "--shift-to", "soon"],
            1,
            "--shift-to: 'soon' is not an RFC 3339 time",
        ),
        (
            ["--trace", "mooncake", "--spread", "world"],
            1,
            "is not a trace of the format mooncake: it needs the columns",
        ),
        (["--trace", "tea", "--spread", "world"], 1, "there is no trace format 'tea'"),
        (["--trace", "azure", "--spread", "world", "--map", "input"], 1, "--map is written like"),
        (["--trace", "azure", "--spread", "world", "--tokens-per-request", "9"], 1, "is written like 1155,211"),
    ],
)
def test_what_is_missing_for_a_trace_is_said(entrepot: Entrepot, words: list[str], status: int, complaint: str) -> None:
    entrepot("usage", "import", AZURE, *words, status=status)
    assert complaint in entrepot.complaints


def test_a_trace_that_counts_from_its_beginning_must_be_given_a_day(entrepot: Entrepot) -> None:
    hours = ROOT / "examples" / "data" / "burstgpt1_hourly.csv"
    words = ["usage", "import", hours, "--trace", "burstgpt", "--spread", "world"]
    entrepot(*words, status=1)
    assert "give --shift-to DATE" in entrepot.complaints
    entrepot(*words, "--shift-to", "2024-03-01", status=1)
    assert "give --tokens-per-request INPUT,OUTPUT" in entrepot.complaints
    assert entrepot.document(*words, "--shift-to", "2024-03-01", "--tokens-per-request", "1155,211")["read"] == 1047


def test_the_report_is_the_invoices_to_the_cent(entrepot: Entrepot, usage: Callable[..., Path]) -> None:
    entrepot("usage", "import", usage(*(record(number) for number in range(50))))
    entrepot("report", "concentration", "--period", "2024-03", status=1)
    assert "close the month first: entrepot close 2024-03" in entrepot.complaints
    invoices = entrepot.document("close", "2024-03")["invoices"]
    report = entrepot.document("report", "concentration", "--period", "2024-03")
    assert parse_pico(report["revenue"]) == sum(parse_pico(invoice["net"]) for invoice in invoices)
    assert {one["customer"]: one["revenue"] for one in report["customers"]} == {
        invoice["customer"]: invoice["net"] for invoice in invoices
    }
    assert [one["group"] for one in report["major_customers"]] == ["bytedance", "walmart"]
    text = entrepot("report", "concentration", "--period", "2024-03", "--top", "1")
    assert "2 others" in text
    rates = entrepot.document("report", "run-rate")["currencies"][0]["months"]
    assert (rates[0]["period"], rates[0]["revenue"]) == ("2024-03", report["revenue"])
    assert rates[0]["times_12"] == report["run_rate"]["times_12"]
    assert "Run-rate in USD" in entrepot("report", "run-rate")


def test_the_report_agrees_with_the_ledger(entrepot: Entrepot, usage: Callable[..., Path]) -> None:
    entrepot("usage", "import", usage(*(record(number, meters={"input_tokens": 333}) for number in range(50))))
    entrepot("close", "2024-03")
    report = entrepot.document("report", "concentration", "--period", "2024-03")
    balances = entrepot.document("ledger", "show")["balances"]
    owed = {one["account"]: parse_pico(one["balance"]) for one in balances}
    assert {name: pico for name, pico in owed.items() if name.startswith("assets:receivable:invoiced:")} == {
        f"assets:receivable:invoiced:{one['customer']}": parse_pico(one["revenue"]) for one in report["customers"]
    }
    assert -sum(pico for name, pico in owed.items() if name.startswith("income:")) == parse_pico(report["revenue"])
