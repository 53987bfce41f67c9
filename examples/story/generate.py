"""Writes the story's usage file: March 2024 as a provider's collector would have exported it.

    python examples/story/generate.py usage.jsonl --records 10000000

Each record is a roll-up of what one deployment served for about a minute (longer with fewer records), so it stands for
many requests. Token totals are those of volumes.yaml, to the token, whatever the number of records and the seed.
Hours follow real traces, sizes and the ratio of prompt to answer too; README.md says which part follows what.
"""

import argparse
import csv
import gzip
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml

HERE = Path(__file__).parent
DATA = HERE.parent / "data"

Array = np.ndarray[Any, np.dtype[Any]]

MONTH = np.datetime64("2024-03-01T00:00:00")
HOURS = 31 * 24
FIRST_WEEKDAY = 4  # 1 March 2024 was a Friday; Monday is 0.
BURSTGPT_FIRST_WEEKDAY = 2  # Assumed: its two quietest days in a row are then Saturday and Sunday.
BURSTGPT_WEEKS = 8
FLOOR = 0.05  # Of the mean hour; traffic from other time zones keeps the quietest hours from being empty.
SIZES_AVERAGED = 8  # Requests whose sizes are averaged into the size of one roll-up.


@dataclass(frozen=True)
class Served:
    """One deployment: its tokens of the month, its hourly weights, and the sizes its requests are drawn from."""

    number: int
    head: str
    prompt_tokens: int
    answer_tokens: int
    hours: Array
    sizes: Array


def main() -> int:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="where to write; JSON Lines, gzipped if it ends in .gz")
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--volumes", type=Path, default=HERE / "volumes.yaml")
    args = parser.parse_args()
    deployments = read_volumes(args.volumes)
    if args.records < len(deployments):
        parser.error(f"--records must be at least {len(deployments)}, one for each deployment")
    written = 0
    with gzip.open(args.file, "wb", 1) if args.file.suffix == ".gz" else args.file.open("wb") as file:
        for lines in records(deployments, args.records, args.seed):
            file.write("".join(lines).encode())
            written += len(lines)
    sys.stderr.write(f"{written} records of {len(deployments)} deployments in {args.file}\n")
    return 0


def records(deployments: Sequence[Served], count: int, seed: int) -> Iterator[list[str]]:
    """The records as lines of JSON, in the order of their times: as many as asked, spread over the active cells.

    A cell is what a deployment serves in one window of whole hours; windows are as short as the count allows.
    """
    chance = np.random.default_rng(seed)
    for window_hours in range(1, HOURS + 1):
        starts = list(range(0, HOURS, window_hours))
        cells = [cells_of(served, starts) for served in deployments]
        active = sum(len(of_deployment) for of_deployment in cells)
        if active <= count:
            break
    by_window: dict[int, list[tuple[Served, int, int]]] = {start: [] for start in starts}
    for served, of_deployment in zip(deployments, cells, strict=True):
        for start, prompt, answer in of_deployment:
            by_window[start].append((served, prompt, answer))
    run = int(chance.integers(1 << 16))  # Tells the ids of one run from those of another with the same times.
    cell = 0
    for start in starts:
        end = min(start + window_hours, HOURS)
        lines: list[tuple[int, str]] = []
        for served, prompt, answer in by_window[start]:
            size = (cell + 1) * count // active - cell * count // active
            cell += 1
            lines += cell_lines(served, prompt, answer, size, (start, end), run, chance)
        lines.sort()
        yield [line for _, line in lines]


def cells_of(served: Served, starts: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first hour, prompt tokens, answer tokens) of each window with traffic; they sum to the month exactly."""
    weights = np.add.reduceat(served.hours, starts).tolist()
    total, before, cells = sum(weights), 0, []
    for start, weight in zip(starts, weights, strict=True):
        after = before + weight
        prompt = served.prompt_tokens * after // total - served.prompt_tokens * before // total
        answer = served.answer_tokens * after // total - served.answer_tokens * before // total
        if prompt or answer:
            cells.append((start, prompt, answer))
        before = after
    return cells


def cell_lines(
    served: Served, prompt: int, answer: int, size: int, hours: tuple[int, int], run: int, chance: np.random.Generator
) -> list[tuple[int, str]]:
    """(milliseconds, line) of one cell's records: its tokens cut by the sizes of drawn requests, its time evenly."""
    drawn = served.sizes[chance.integers(len(served.sizes), size=(size, SIZES_AVERAGED))].sum(axis=1)
    prompts, answers = cut(prompt, drawn[:, 0]), cut(answer, drawn[:, 1])
    span_ms = (hours[1] - hours[0]) * 3_600_000
    step_ms = span_ms // size
    begun = hours[0] * 3_600_000 + np.arange(size) * span_ms // size + chance.integers(step_ms, size=size) // 2
    ended = np.minimum(begun + step_ms, HOURS * 3_600_000 - 1)
    epoch_ms = int(MONTH.astype("datetime64[ms]").astype(np.int64))
    at = np.datetime_as_string(MONTH + begun.astype("timedelta64[ms]")).tolist()
    until = np.datetime_as_string(MONTH + ended.astype("timedelta64[ms]")).tolist()
    origin = f"{run:04x}{served.number:04x}"
    lines = []
    for number, ms in enumerate(begun.tolist()):
        meters = f'"input_tokens":{prompts[number]}' + (
            f',"output_tokens":{answers[number]}' if answers[number] else ""
        )
        line = (
            f'{{"id":"{epoch_ms + ms:012x}{origin}{number:012x}","admitted_at":"{at[number]}Z",'
            f'"finished_at":"{until[number]}Z",{served.head}{{{meters}}}}}\n'
        )
        lines.append((ms, line))
    return lines


def cut(total: int, weights: Array) -> list[int]:
    """The total in as many whole parts as there are weights, in their proportion; the parts sum to it exactly."""
    ends = np.cumsum(weights, dtype=np.int64).tolist()
    whole = ends[-1] or 1
    cuts = [0, *(total * end // whole for end in ends[:-1]), total]
    return [after - before for before, after in pairwise(cuts)]


# ---- what the traffic looks like -------------------------------------------------------------------


def read_volumes(path: Path) -> list[Served]:
    """The deployments of volumes.yaml with the shapes and sizes that they name."""
    customers = yaml.safe_load(path.read_text())["customers"]
    sizes = {name: azure_sizes(name) for name in ("conv", "code")}
    sizes["embed"] = sizes["conv"] * np.array([1, 0])
    clients = servegen_hours()
    clients["burstgpt"] = burstgpt_hours()
    found = []
    for customer, said in customers.items():
        for use in said["use"]:
            given, taken = (int(total) for total in sizes[use["workload"]].sum(axis=0))
            prompt = use["tokens"] * given // (given + taken)
            head = (
                f'"customer":"{customer}","project":"{customer}-ai","deployment":"{use["deployment"]}",'
                f'"model":"{use["model"]}","tier":"default","source":"reported","meters":'
            )
            found.append(
                Served(
                    number=len(found),
                    head=head,
                    prompt_tokens=prompt,
                    answer_tokens=use["tokens"] - prompt,
                    hours=clients[said["shape"]],
                    sizes=sizes[use["workload"]],
                )
            )
    return found


def azure_sizes(service: str) -> Array:
    """(prompt tokens, answer tokens) of each request of an Azure LLM inference trace of 2023."""
    with gzip.open(DATA / f"AzureLLMInferenceTrace_2023_{service}.csv.gz", "rt") as file:
        return np.array([(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)])


def burstgpt_hours() -> Array:
    """A weight for each hour of the month: the median over weeks of BurstGPT's requests in that hour of the week."""
    counts = np.zeros((BURSTGPT_WEEKS, 7 * 24))
    with (DATA / "burstgpt1_hourly.csv").open() as file:
        for row in csv.DictReader(file):
            week, hour = divmod(int(row["hour_start_s"]) // 3600, 7 * 24)
            if week < BURSTGPT_WEEKS:
                counts[week, hour] = int(row["requests"])
    week_curve = np.roll(np.median(counts, axis=0), 24 * BURSTGPT_FIRST_WEEKDAY)
    week_curve = week_curve + FLOOR * week_curve.mean()
    return np.rint(np.roll(np.tile(week_curve, 6), -24 * FIRST_WEEKDAY)[:HOURS]).astype(np.int64)


def servegen_hours() -> dict[str, Array]:
    """{servegen-CLIENT: a weight for each hour}: the requests of the client's fortnight, over and over."""
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "servegen_m-large_rates.parquet", columns=["client", "t_s", "rate_rps"])
    clients, hours = table["client"].to_numpy(), table["t_s"].to_numpy() // 3600
    requests = np.rint(table["rate_rps"].to_numpy() * 600).astype(np.int64)
    found = {}
    for client in np.unique(clients).tolist():
        fortnight = np.bincount(hours[clients == client], weights=requests[clients == client], minlength=14 * 24)
        found[f"servegen-{client}"] = np.tile(fortnight.astype(np.int64), 3)[:HOURS]
    return found


if __name__ == "__main__":
    sys.exit(main())
