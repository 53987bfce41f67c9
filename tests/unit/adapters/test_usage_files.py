"""Files of usage records: every way that a file can be odd, broken or simply written by somebody else."""

import csv
import gzip
import io
import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entrepot.adapters.usage_files import lines, records
from entrepot.core.errors import BadInput
from entrepot.core.usage_event import UsageEvent, payload_digest
from entrepot.metering.usage_file import COLUMNS, REQUIRED, ParsedRows, parse_rows

COUNT = 5
HEADER = [
    "id",
    "admitted_at",
    "finished_at",
    "customer",
    "project",
    "deployment",
    "model",
    "input_tokens",
    "output_tokens",
]


def record(number: int) -> dict[str, Any]:
    return {
        "id": f"r-{number}",
        "admitted_at": f"2024-03-05T08:00:{number:02d}.125Z",
        "finished_at": f"2024-03-05T08:01:{number:02d}Z",
        "customer": "tiktok",
        "project": "search",
        "deployment": "chat",
        "model": "gpt-4",
        "meters": {"input_tokens": 800 + number, "output_tokens": number},
    }


RECORDS = [record(number) for number in range(COUNT)]
JSON_LINES = "".join(json.dumps(row) + "\n" for row in RECORDS).encode()


def csv_bytes(newline: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, HEADER, lineterminator=newline, quoting=quoting)  # type: ignore[arg-type]
    writer.writeheader()
    for row in RECORDS:
        writer.writerow({name: row.get(name, row["meters"].get(name)) for name in HEADER})
    return text.getvalue().encode()


def parquet_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def flat_table(kind: Any) -> pa.Table:
    table = pa.Table.from_pylist([{name: row.get(name, row["meters"].get(name)) for name in HEADER} for row in RECORDS])
    for index, name in ((1, "admitted_at"), (2, "finished_at")):
        moments = [datetime.fromisoformat(row[name]).astimezone(UTC).replace(tzinfo=None) for row in RECORDS]
        column = pa.array([moment.replace(tzinfo=UTC) if kind.tz else moment for moment in moments], kind)
        table = table.set_column(index, name, column)
    return table.set_column(3, "customer", table["customer"].dictionary_encode())


def with_meters(column: Any) -> pa.Table:
    table = pa.Table.from_pylist([{name: value for name, value in row.items() if name != "meters"} for row in RECORDS])
    return table.append_column("meters", column)


METERS = [row["meters"] for row in RECORDS]
FILES = {
    "plain.jsonl": JSON_LINES,
    "named-otherwise.txt": JSON_LINES,
    "zipped.jsonl.gz": gzip.compress(JSON_LINES),
    "zipped-without-saying.jsonl": gzip.compress(JSON_LINES),
    "two-members.jsonl.gz": gzip.compress(JSON_LINES[:700]) + gzip.compress(JSON_LINES[700:]),
    "marked.jsonl": b"\xef\xbb\xbf" + JSON_LINES,
    "dos.jsonl": JSON_LINES.replace(b"\n", b"\r\n"),
    "no-last-newline.jsonl": JSON_LINES.rstrip(),
    "gaps.jsonl": b"\n \n" + JSON_LINES.replace(b"\n", b"\n\n"),
    "plain.csv": csv_bytes(),
    "dos.csv": csv_bytes("\r\n"),
    "quoted.csv": csv_bytes(quoting=csv.QUOTE_ALL),
    "marked.csv.gz": gzip.compress(b"\xef\xbb\xbf" + csv_bytes()),
    "no-last-newline.csv": csv_bytes().rstrip(),
    "gaps.csv": b"\n" + csv_bytes().replace(b"\n", b"\n\n"),
    "naive.parquet": parquet_bytes(flat_table(pa.timestamp("ns"))),
    "zoned.parquet": parquet_bytes(flat_table(pa.timestamp("ms", tz="Europe/Berlin"))),
    "struct.parquet": parquet_bytes(with_meters(pa.array(METERS))),
    "map.parquet": parquet_bytes(
        with_meters(pa.array([list(m.items()) for m in METERS], pa.map_(pa.string(), pa.int64())))
    ),
    "json.parquet": parquet_bytes(with_meters(pa.array([json.dumps(m) for m in METERS]))),
    "floats.parquet": parquet_bytes(with_meters(pa.array(METERS, pa.struct({n: pa.float64() for n in METERS[0]})))),
}


@pytest.mark.parametrize("name", FILES)
def test_every_way_of_writing_the_same_usage_is_the_same_usage(tmp_path: Path, name: str) -> None:
    wanted = [payload_digest(event) for event in read(tmp_path / "wanted.jsonl", JSON_LINES).events]
    result = read(tmp_path / name, FILES[name])
    assert result.faults == []
    assert [payload_digest(event) for event in result.events] == wanted


@pytest.mark.parametrize("chunk", [1, 7, 100, 4096])
@pytest.mark.parametrize("name", ["dos.jsonl", "dos.csv", "gaps.csv", "no-last-newline.jsonl", "marked.jsonl"])
def test_where_a_chunk_ends_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, chunk: int
) -> None:
    whole = read(tmp_path / name, FILES[name])
    if not (chunk < 3 and name.startswith("marked")):  # a mark is looked for in the first chunk, which is a mebibyte
        monkeypatch.setattr(lines, "CHUNK_BYTES", chunk)
    assert read(tmp_path / name, FILES[name]) == whole
    assert len(whole.events) == COUNT


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("nothing.jsonl", b"", "is empty"),
        ("nothing.csv", b"", "is empty"),
        ("nothing.parquet", b"", "is empty"),
        ("blank.csv", b"\n\n", "is empty"),
        ("list.json", b"[" + JSON_LINES.replace(b"\n", b",").rstrip(b",") + b"]", "write one object a line"),
        ("wrong.csv", b"when,who\n1,2\n", "has no column id, admitted_at, customer, model; its columns are when, who"),
        (
            "more.csv",
            csv_bytes().replace(b"project", b"colour"),
            "colour is neither a column of a usage record nor a meter",
        ),
        ("twice.csv", csv_bytes().replace(b"project", b"model"), "names model more than once"),
        ("unmetered.csv", b"id,admitted_at,customer,model\n", "has no meters"),
        ("unmetered.parquet", parquet_bytes(pa.table({n: ["x"] for n in REQUIRED})), "has no meters"),
        ("wrong.parquet", parquet_bytes(pa.table({"when": [1]})), "has no column id"),
        ("cut.parquet", FILES["naive.parquet"][:-40], "cannot be read as Parquet"),
        ("not.gz", b"\x1f\x8brubbish", "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    with pytest.raises(BadInput, match=reason):
        read(tmp_path / name, content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.jsonl cannot be read: No such file"):
        records.open_records(tmp_path / "nowhere.jsonl", COLUMNS, REQUIRED)


@pytest.mark.parametrize("content", [JSON_LINES * 2000, csv_bytes() + csv_bytes().split(b"\n", 1)[1] * 4000])
def test_a_cut_archive_gives_its_whole_lines_and_says_that_it_is_cut(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(content)[:-20])
    events: list[UsageEvent] = []
    with pytest.raises(BadInput, match="breaks off"):
        collect(path, events)
    assert 0 < len(events) < 2000 * COUNT * 2
    assert {event.id for event in events} == {row["id"] for row in RECORDS}


def test_bad_lines_cost_only_themselves(tmp_path: Path) -> None:
    good = csv_bytes().splitlines()
    content = b"\n".join(
        [
            *good[:2],
            b'r-9,"2024-03-05T08:00:00Z,never closed',
            good[2],
            b"too,few",
            b"\xff\xfe,,,,,,,,",
            b'r-9,"a"b,,,,,,,',
            *good[3:],
        ]
    )
    result = read(tmp_path / "odd.csv", content)
    assert [event.id for event in result.events] == [row["id"] for row in RECORDS]
    assert [(fault.line, fault.reason.split(":")[0]) for fault in result.faults] == [
        (3, "is not CSV"),
        (5, "has 2 cells where the header has 9"),
        (6, "is not UTF-8 text"),
        (7, "is not CSV"),
    ]


def test_a_line_without_end_costs_only_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LINE_BYTES_MAX", 1000)
    monkeypatch.setattr(lines, "CHUNK_BYTES", 300)
    first, rest = JSON_LINES.split(b"\n", 1)
    result = read(tmp_path / "long.jsonl", first + b"\n" + b"x" * 5000 + b"\n" + rest)
    assert [event.id for event in result.events] == [row["id"] for row in RECORDS]
    assert [(fault.line, fault.reason) for fault in result.faults] == [
        (2, "is longer than 1000 bytes, no usage record is")
    ]


def test_a_csv_may_carry_its_meters_as_json(tmp_path: Path) -> None:
    head = "id,admitted_at,customer,model,meters\n"
    rows = [
        'a,2024-03-05T08:00:00Z,c,m,"{""input_tokens"": 3}"',
        "b,2024-03-05T08:00:00Z,c,m,{}",
        "c,2024-03-05T08:00:00Z,c,m,oops",
        'd,2024-03-05T08:00:00Z,c,m,"[1]"',
    ]
    result = read(tmp_path / "json.csv", (head + "\n".join(rows)).encode())
    assert [event.meters for event in result.events] == [{"input_tokens": 3}, {}]
    assert [(fault.line, fault.reason) for fault in result.faults] == [
        (4, "meters is not a JSON object"),
        (5, "meters must be an object, not a list"),
    ]


def test_empty_columns_of_parquet_are_missing(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["a", None],
            "admitted_at": pa.array([datetime(2024, 3, 5, tzinfo=UTC), datetime(2024, 3, 5, tzinfo=UTC)]),
            "customer": ["c", "c"],
            "model": ["m", "m"],
            "corrects": pa.array([None, None], pa.string()),
            "input_tokens": pa.array([None, 3], pa.int64()),
            "output_tokens": pa.array([4, None], pa.uint32()),
        }
    )
    result = read(tmp_path / "nulls.parquet", parquet_bytes(table))
    assert [event.meters for event in result.events] == [{"output_tokens": 4}]
    assert [(fault.line, fault.reason) for fault in result.faults] == [(2, "id is missing")]


def collect(path: Path, events: list[UsageEvent]) -> None:
    for batch in records.open_records(path, COLUMNS, REQUIRED).batches():
        result = parse_rows(batch)
        assert result.faults == []
        events += result.events


def read(path: Path, content: bytes) -> ParsedRows:
    path.write_bytes(content)
    result = ParsedRows([], [])
    for batch in records.open_records(path, COLUMNS, REQUIRED).batches():
        part = parse_rows(batch)
        result.events.extend(part.events)
        result.faults.extend(sorted(part.faults, key=lambda fault: fault.line))
    return result


def test_memory_does_not_grow_with_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    chance = random.Random(1)
    with pq.ParquetWriter(path, pa.schema([(name, pa.string()) for name in (*REQUIRED, "input_tokens")])) as writer:
        for _ in range(40):
            ids = [f"{chance.getrandbits(128):032x}" for _ in range(5000)]
            same = {name: [name] * len(ids) for name in (*REQUIRED[1:], "input_tokens")}
            writer.write_table(pa.table({"id": ids, **same}))
    before, most = pa.total_allocated_bytes(), 0
    for _ in records.open_records(path, COLUMNS, REQUIRED).batches():
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < path.stat().st_size / 3
