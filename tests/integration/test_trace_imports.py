"""The same trace, however it is cut and however often it is imported, gives the same invoices to the byte."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from entrepot.adapters.usage_files.traces import TraceFile
from entrepot.core.log_records import LogRecord, MonthClosed
from entrepot.core.periods import parse_instant
from entrepot.flows.import_usage import Importing, import_trace
from entrepot.metering.trace_usage import Placing, Target
from entrepot.ports.usage_rows import RowFault
from tests.support.billing import APRIL, ListLog, applied, contract, folded, prices, version, world
from tests.support.tree import ROOT

DATA = ROOT / "examples" / "data"
ROWS = 1500
CUSTOMERS = ("acme", "zeta", "kiln")
WORLD = world(
    version(prices(("m", "input_tokens", "0.40"), ("m", "output_tokens", "1.20"))),
    contracts=[contract(name) for name in CUSTOMERS],
    customers=CUSTOMERS,
)
PLACINGS = {
    "azure": Placing(
        trace="azure",
        targets=tuple(Target(name, "p", "d", "m", weight) for weight, name in enumerate(CUSTOMERS, start=1)),
        origin=parse_instant("2023-11-16"),
        shift_to=parse_instant("2024-03-05"),
    ),
    "mooncake": Placing(
        trace="mooncake", targets=(Target("acme", "p", "d", "m"),), shift_to=parse_instant("2024-03-31")
    ),
}
FILES = {"azure": "AzureLLMInferenceTrace_2023_conv.csv.gz", "mooncake": "mooncake_conversation_trace.csv.gz"}


def lines_of(trace: str) -> list[bytes]:
    """The header and the first rows of a real trace, some of them twice, as two equal requests of one instant are."""
    header, *rows = gzip.decompress((DATA / FILES[trace]).read_bytes()).splitlines()[: ROWS + 1]
    return [header, *(row for number, row in enumerate(rows) for _ in range(3 if number % 50 == 7 else 1))]


def refused(fault: RowFault) -> None:
    pytest.fail(str(fault))


def invoices(folder: Path, trace: str, parts: Sequence[Sequence[bytes]]) -> tuple[bytes, tuple[int, str]]:
    """The invoices as bytes and the ledger's root, after importing the parts one after the other."""
    log = ListLog([applied(WORLD)])
    for number, part in enumerate(parts):
        path = folder / f"part-{number}.csv"
        path.write_bytes(b"\n".join(part))
        done = import_trace(TraceFile(path, trace, {}), PLACINGS[trace], Importing(log, refused, lambda _: None))
        assert done.appended == len(part) - 1
    records: list[LogRecord] = [*log.records, MonthClosed(at=APRIL, period="2024-03")]
    books = folded(*records)
    return msgspec.json.encode(books.invoices("2024-03")), books.root()


@pytest.mark.parametrize("trace", FILES)
def test_twice_is_once(tmp_path: Path, trace: str) -> None:
    whole = lines_of(trace)
    once, again = (invoices(tmp_path, trace, parts) for parts in ([whole], [whole, whole]))
    assert once == again
    assert len(once[0]) > 500


@pytest.mark.parametrize("trace", FILES)
@pytest.mark.parametrize("overlap", [3, 40, 700])
@pytest.mark.parametrize("later_first", [False, True])
def test_two_overlapping_halves_are_the_whole(tmp_path: Path, trace: str, overlap: int, later_first: bool) -> None:
    header, *rows = whole = lines_of(trace)
    cut = next(number for number in range(600, 700) if rows[number] == rows[number + 1])  # between two equal rows
    halves = [[header, *rows[: cut + overlap]], [header, *rows[cut + 1 :]]]
    expected = invoices(tmp_path, trace, [whole])[0]
    assert invoices(tmp_path, trace, halves[::-1] if later_first else halves)[0] == expected


@pytest.mark.parametrize("trace", FILES)
def test_the_rows_of_many_small_windows_are_the_whole(tmp_path: Path, trace: str) -> None:
    header, *rows = whole = lines_of(trace)
    windows = [[header, *rows[start : start + 60]] for start in range(0, len(rows), 40)]
    assert invoices(tmp_path, trace, windows)[0] == invoices(tmp_path, trace, [whole])[0]
