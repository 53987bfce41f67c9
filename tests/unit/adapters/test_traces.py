"""Published traces are read by the names of their columns, each in its own units."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entrepot.adapters.usage_files.traces import TraceFile
from entrepot.core.errors import BadInput
from entrepot.core.periods import parse_instant
from entrepot.ports.usage_rows import RowFault, TraceRow

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109""".replace("\n", "\r\n")


def test_azure_times_keep_their_hundred_nanoseconds(tmp_path: Path) -> None:
    rows, faults = read(tmp_path, AZURE.encode(), "azure")
    at = parse_instant("2023-11-16T18:15:46.680590Z") * 1000
    assert faults == []
    assert rows == [TraceRow(2, at, "", 1, 374, 0, 44), TraceRow(3, at + 4_314_579_000, "", 1, 396, 0, 109)]
    finer, _ = read(tmp_path, AZURE.replace("6805900", "6805901").encode(), "azure")
    assert finer[0].at_ns == at + 100


def test_a_later_azure_trace_writes_its_times_otherwise(tmp_path: Path) -> None:
    text = AZURE.replace("18:15:46.6805900", "18:15:46.680590+00:00").encode()
    assert read(tmp_path, text, "azure") == read(tmp_path, AZURE.encode(), "azure")


def test_a_packed_trace_is_the_same_trace(tmp_path: Path) -> None:
    assert read(tmp_path, gzip.compress(AZURE.encode()), "azure") == read(tmp_path, AZURE.encode(), "azure")


def test_burstgpt_requests_and_hours(tmp_path: Path) -> None:
    header = b"Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    single = header + b"5.0,7,1,GPT-4,472,18,490,API log\n"
    assert read(tmp_path, single, "burstgpt")[0] == [TraceRow(2, 5 * 10**9, "", 1, 472, 0, 18)]
    hourly = b"hour_start_s,requests,sessions,frac_ge2,frac_ge3\n3600,47,2,1.0,1.0\n"
    assert read(tmp_path, hourly, "burstgpt")[0] == [TraceRow(2, 3600 * 10**9, "", 47, None, 0, None)]


def test_mooncake_counts_what_was_cached(tmp_path: Path) -> None:
    text = b"timestamp_ms,input_tokens,output_tokens,cached_input_tokens\n3000,7322,490,512\n3001,5,1,6\n"
    rows, faults = read(tmp_path, text, "mooncake")
    assert rows == [TraceRow(2, 3 * 10**9, "", 1, 7322, 512, 490)]
    assert [(fault.line, fault.reason) for fault in faults] == [(3, "6 tokens are cached out of 5")]


def test_servegen_rates_become_requests_of_a_window(tmp_path: Path) -> None:
    path = tmp_path / "rates.parquet"
    columns = {"model": ["m-large", "m-mid"], "client": [3, 3], "t_s": [600, 0], "rate_rps": [0.085, 0.421667]}
    pq.write_table(pa.table(columns), path)
    rows = [row for batch in TraceFile(path, "servegen", {}).batches() for row in batch.rows]
    assert rows == [
        TraceRow(1, 600 * 10**9, "m-large/3", 51, None, 0, None),
        TraceRow(2, 0, "m-mid/3", 253, None, 0, None),
    ]


def test_another_file_is_read_by_naming_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text("ts,prompt,answer,user\n2024-05-01T00:00:00Z,10,2,ann\n")
    names = {"at": "ts", "input": "prompt", "output": "answer", "client": "user"}
    (batch,) = TraceFile(path, "azure", names).batches()
    assert [(row.client, row.input_tokens, row.output_tokens) for row in batch.rows] == [("ann", 10, 2)]


@pytest.mark.parametrize(
    ("cell", "column", "reason"),
    [
        ("", 0, "'' is not a date and time"),
        ("16/11/2023 18:15", 0, "is not a date and time"),
        ("2023-13-16 18:15:46.68", 0, "month must be in 1..12"),
        ("-3", 1, "ContextTokens is '-3', not a whole number"),
        ("1.5", 1, "ContextTokens is '1.5', not a whole number"),
        ("", 2, "GeneratedTokens is '', not a whole number"),
        ("1" * 16, 2, "not a whole number of at most 15 digits"),
        ("nan", 2, "GeneratedTokens is 'nan', not a whole number"),
    ],
)
def test_a_bad_row_is_named_and_the_others_are_read(tmp_path: Path, cell: str, column: int, reason: str) -> None:
    cells = ["2023-11-16 18:15:48", "1", "2"]
    cells[column] = cell
    rows, faults = read(tmp_path, (AZURE + "\n" + ",".join(cells) + "\ngarbage\n").encode(), "azure")
    assert len(rows) == 2
    assert [fault.line for fault in faults] == [5, 4] or [fault.line for fault in faults] == [4, 5]
    assert reason in next(fault.reason for fault in faults if fault.line == 4)


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (AZURE.replace("TIMESTAMP", "when").encode(), "azure", "needs the columns TIMESTAMP, ContextTokens"),
        (
            AZURE.encode(),
            "burstgpt",
            "needs the columns Timestamp, Request tokens, Response tokens or hour_start_s, requests",
        ),
        (AZURE.encode(), "splitwise", "no trace format 'splitwise'; there are azure, burstgpt, mooncake, servegen"),
        (b"", "azure", "is empty"),
        (b"PAR1 and then nothing", "servegen", "cannot be read as Parquet"),
        (gzip.compress(AZURE.encode() * 99)[:-30], "azure", "breaks off"),
    ],
)
def test_a_file_that_is_no_such_trace_is_refused(tmp_path: Path, content: bytes, kind: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        read(tmp_path, content, kind)


def test_only_what_a_trace_has_can_be_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="a trace has no price; it has at, input, output"):
        TraceFile(tmp_path, "azure", {"price": "p"})


def read(folder: Path, content: bytes, kind: str) -> tuple[list[TraceRow], list[RowFault]]:
    path = folder / "trace"
    path.write_bytes(content)
    rows: list[TraceRow] = []
    faults: list[RowFault] = []
    for batch in TraceFile(path, kind, {}).batches():
        rows += batch.rows
        faults += batch.faults
    return rows, faults
